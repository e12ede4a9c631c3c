"""The part of HTTP/2 without I/O, which sees no clock but the given one: floods, and what a stream has to say."""

from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from airflow_provider_whiterabbit.client.transport.http2.frames import FloodError
from airflow_provider_whiterabbit.client.transport.http2.multiplexer import MAX_STREAMS, MAX_UNANSWERED, Multiplexer
from airflow_provider_whiterabbit.client.transport.http2.protocol import STREAM_WINDOW

FLOODS = {
    "pings": b"\0\0\x08\x06\0\0\0\0\0" + b"12345678",
    "settings": b"\0\0\0\x04\0\0\0\0\0",
    "changes of settings": b"\0\0\x06\x04\0\0\0\0\0" + b"\0\3\0\0\0\2",
}
HEADERS = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/" + b"p" * 60)]


class Recorder:
    """A multiplexer that has been greeted by a server, how often it called back, and the server."""

    def __init__(self) -> None:
        self.outputs = self.changes = 0
        self.server = H2Connection(H2Configuration(client_side=False))
        self.server.initiate_connection()
        self.streams = Multiplexer(0.0, self.on_output, self.on_change)
        self.streams.feed(self.server.data_to_send(), 0.0)

    def on_output(self) -> None:
        self.outputs += 1

    def on_change(self) -> None:
        self.changes += 1


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
    stream = recorder.streams.open(HEADERS, STREAM_WINDOW, None)
    recorder.server.receive_data(recorder.streams.to_send())
    recorder.server.send_headers(stream.identity, [(b":status", b"200")])
    recorder.streams.feed(recorder.server.data_to_send(), 0.0)
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
