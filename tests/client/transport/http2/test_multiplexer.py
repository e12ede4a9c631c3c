"""The part of HTTP/2 without I/O, which sees no clock but the given one: floods, and what a stream has to say."""

from __future__ import annotations

import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated
from h2.exceptions import FlowControlError

from airflow_provider_whiterabbit.client.transport.http2.frames import FloodError
from airflow_provider_whiterabbit.client.transport.http2.multiplexer import MAX_STREAMS, MAX_UNANSWERED
from airflow_provider_whiterabbit.client.transport.http2.protocol import CONNECTION_WINDOW, STREAM_WINDOW
from tests.client.transport.http2.recorder import HEADERS, Recorder

FLOODS = {
    "pings": b"\0\0\x08\x06\0\0\0\0\0" + b"12345678",
    "settings": b"\0\0\0\x04\0\0\0\0\0",
    "changes of settings": b"\0\0\x06\x04\0\0\0\0\0" + b"\0\3\0\0\0\2",
}


def test_greeting() -> None:
    """The settings of the server are a change, and are acknowledged; the server understands our requests."""
    recorder = Recorder()
    assert recorder.streams.is_greeted
    assert (recorder.changes, recorder.outputs) == (1, 1)
    assert recorder.streams.limit == MAX_STREAMS
    recorder.streams.open(HEADERS, STREAM_WINDOW, None)
    events = recorder.server.receive_data(recorder.streams.to_send())
    assert [dict(event.headers)[b":path"] for event in events if hasattr(event, "headers")] == [HEADERS[3][1]]
    assert len(recorder.streams) == 1


@pytest.mark.parametrize("kind", FLOODS)
def test_floods(kind: str) -> None:
    """A flood of frames of no use that arrives at once is noticed, however slow the machine is."""
    recorder = Recorder()
    frames = FLOODS[kind] * (16_000 // len(FLOODS[kind]))

    def flood() -> None:
        for _ in range(10):
            recorder.streams.feed(frames, 1.0)

    with pytest.raises(FloodError, match="a flood of frames of no use"):
        flood()


def test_draining() -> None:
    """A connection that is drained is over once its last stream has ended."""
    recorder = Recorder()
    stream = recorder.streams.open(HEADERS, STREAM_WINDOW, None)
    recorder.streams.drain()
    assert not recorder.streams.is_over
    stream.close()
    assert recorder.streams.is_over


def test_requests_without_an_answer() -> None:
    """After some requests in a row that had no answer in time, nothing is opened; an answer begins a new count."""
    recorder = Recorder()
    for _ in range(MAX_UNANSWERED - 1):
        recorder.streams.count_unanswered()
    recorder.answered()
    for _ in range(MAX_UNANSWERED - 1):
        recorder.streams.count_unanswered()
        assert not recorder.streams.is_draining
    recorder.streams.count_unanswered()
    assert recorder.streams.is_draining
    assert recorder.streams.failure is None


def test_answers_given_up() -> None:
    """The rest of an answer that was given up may still come; other frames may not in its place."""
    recorder = Recorder()
    for _ in range(8):
        stream = recorder.streams.open(HEADERS, STREAM_WINDOW, None)
        recorder.server.receive_data(recorder.streams.to_send())
        recorder.server.send_headers(stream.identity, [(b":status", b"200")])
        for _ in range(STREAM_WINDOW // 16_000):
            recorder.server.send_data(stream.identity, b"d" * 16_000)
        stream.close()
        recorder.streams.feed(recorder.server.data_to_send(), 1.0)
    for _ in range(8):
        recorder.streams.open(HEADERS, STREAM_WINDOW, None).close()
    with pytest.raises(FloodError, match="a flood of frames of no use"):
        recorder.streams.feed(FLOODS["pings"] * 8_000, 1.0)


async def test_keep_alives() -> None:
    """A keep-alive reaches its stream without the work of h2, and leads to nothing that is to be sent."""
    recorder = Recorder()
    stream, other = recorder.answered(), recorder.answered()
    recorder.streams.to_send()
    outputs = recorder.outputs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(H2Connection, "receive_data", lambda *_: pytest.fail("h2 was told"))
        for _ in range(3):
            recorder.server.send_data(stream.identity, b":ping\n\n")
            recorder.streams.feed(recorder.server.data_to_send(), 1.0)
    assert await stream.readany() == b":ping\n\n" * 3
    assert (recorder.outputs, recorder.streams.to_send()) == (outputs, b"")
    recorder.server.send_data(other.identity, b"end", end_stream=True)
    recorder.streams.feed(recorder.server.data_to_send(), 1.0)
    assert (await other.readany(), await other.readany()) == (b"end", b"")


@pytest.mark.parametrize("padding", [None, 100], ids=["cut out", "by h2"])
async def test_windows(padding: int | None) -> None:
    """The server may send on and on what is read, on one stream and on many; h2 on its side counts every byte."""
    recorder = Recorder()
    streams = [recorder.answered(), recorder.answered()]
    for number in range(2 * CONNECTION_WINDOW // 16_000):
        stream = streams[number % 2]
        # Some frames come the other way, so that both counts of a window are used.
        recorder.server.send_data(stream.identity, bytes(16_000), pad_length=padding if number % 9 else 1)
        recorder.streams.feed(recorder.server.data_to_send(), float(number))
        assert len(await stream.readany()) == 16_000
        recorder.server.receive_data(recorder.streams.to_send())
    for stream in streams:
        assert stream.window / 2 <= recorder.server.local_flow_control_window(stream.identity) <= stream.window


@pytest.mark.parametrize("is_padded", [False, True])
def test_more_than_the_window(is_padded: bool) -> None:
    """A server that sends more on a stream than it may breaks the protocol, and is told so."""
    recorder = Recorder()
    stream = recorder.answered()
    frames = [b"\0\x3e\x80\0\0" + stream.identity.to_bytes(4, "big") + bytes(16_000)] * 4
    frames.append(b"\0\x3e\x80\0\x08" + stream.identity.to_bytes(4, "big") + bytes(16_000) if is_padded else frames[0])
    recorder.streams.feed(b"".join(frames[:4]), 1.0)
    with pytest.raises(FlowControlError):
        recorder.streams.feed(frames[4], 1.0)
    events = recorder.server.receive_data(recorder.streams.to_send())
    assert [event.error_code for event in events if isinstance(event, ConnectionTerminated)] == [
        ErrorCodes.FLOW_CONTROL_ERROR
    ]
