"""`EventStream.read` of both transports: events, keep-alives, silence, and the end of the stream."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
import requests

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.transport import aio_stream, sync_io
from airflow_provider_whiterabbit.client.transport.exchange import Limits
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.transport.sync_limits import limited
from airflow_provider_whiterabbit.client.transport.sync_sockets import LimitedAdapter
from airflow_provider_whiterabbit.client.wire.sse import MAX_EVENT_BYTES, event_data
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError

pytestmark = pytest.mark.alone

REQUEST = api.stream_execution("e-1")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PING = b":ping\n\n"
EVENT = b'data: {"a": 1}\n\n'
SECRET = "Kj7dYw2mZq91XvbT"
SILENCE = 0.4
"""Seconds without a byte after which a stream is dead."""

LONG = 60.0
"""Seconds, more than any test takes."""

Read = Callable[[float, float, float], "list[Any] | None"]
"""`EventStream.read`, with its arguments `silence`, `within` and `quiet`, in seconds."""


class StreamServer:
    """A server that accepts one connection, and sends the bytes of a test into its stream."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        self._connection, _ = self._server.accept()
        self._connection.recv(65536)
        self._connection.sendall(HEAD)

    def send_raw(self, data: bytes) -> None:
        """Send bytes that need not be a chunk."""
        self._accepting.join()
        self._connection.sendall(data)

    def send(self, data: bytes, *, after: float = 0.0) -> None:
        """Send bytes, now or in so many seconds; no bytes end the stream."""
        self._accepting.join()
        chunk = f"{len(data):x}\r\n".encode() + data + b"\r\n"
        if after:
            threading.Timer(after, self._connection.sendall, (chunk,)).start()
        else:
            self._connection.sendall(chunk)

    def disconnect(self) -> None:
        """Close the connection in the middle of the answer."""
        self._accepting.join()
        self._connection.close()
        self._server.close()


@pytest.fixture
def server() -> Iterator[StreamServer]:
    """Yield a server with one stream."""
    server = StreamServer()
    yield server
    server.disconnect()


@pytest.fixture(params=["requests", "aiohttp"])
def read(request: pytest.FixtureRequest, server: StreamServer) -> Iterator[Read]:
    """Open the server's stream with each transport, and yield the method that reads it."""
    if request.param == "requests":
        with limited(Limits(connect=LONG, read=LONG, total=LONG)):
            answer = LimitedAdapter(None, keeps=False).send(requests.Request("GET", server.url).prepare(), stream=True)
        blocking = sync_io.EventStream(answer, MAX_EVENT_BYTES, RequestLog(REQUEST, 1), Hiding([SECRET]))
        yield blocking.read
        blocking.close()
        return

    async def opened() -> tuple[aiohttp.ClientSession, aio_stream.EventStream]:
        session = aiohttp.ClientSession(auto_decompress=False)
        answer, entry = await session.get(server.url), RequestLog(REQUEST, 1)
        return session, aio_stream.EventStream(answer, MAX_EVENT_BYTES, entry, Hiding([SECRET]))

    with asyncio.Runner() as runner:
        session, stream = runner.run(opened())
        yield lambda *seconds: runner.run(stream.read(*seconds))
        stream.close()
        runner.run(session.close())


def test_events(server: StreamServer, read: Read) -> None:
    """`read` returns the events that have arrived, however their bytes are cut, and skips keep-alives."""
    server.send(PING + EVENT[:5])
    server.send(EVENT[5:] + EVENT, after=SILENCE / 4)
    assert read(LONG, LONG, LONG) == [EVENT, EVENT]


def test_a_keep_alive_inside_an_event(server: StreamServer, read: Read) -> None:
    """The bytes of a keep-alive that arrives in the middle of an event belong to the event, and end it."""
    server.send(b'data: {"a":\n')
    server.send(b"data: 1}\n", after=SILENCE / 4)
    server.send(PING, after=SILENCE / 2)
    [event] = read(LONG, LONG, LONG) or []
    assert event_data(event) == {"a": 1}


def test_silence(server: StreamServer, read: Read) -> None:
    """A stream that sends nothing for `silence` seconds raises a stream error, also after events."""
    server.send(EVENT)
    assert read(SILENCE, LONG, LONG) == [EVENT]
    with pytest.raises(WhiteRabbitStreamError, match=r"silent for 0\.4 s"):
        read(SILENCE, LONG, LONG)


def test_keep_alives_interrupt_the_silence(server: StreamServer, read: Read) -> None:
    """Keep-alives at intervals below `silence` keep the stream alive."""
    for number in range(1, 7):
        server.send(PING, after=number * SILENCE / 2)
    server.send(EVENT, after=7 * SILENCE / 2)
    assert read(SILENCE, LONG, LONG) == [EVENT]


def test_silence_after_keep_alives(server: StreamServer, read: Read) -> None:
    """The silence is measured from the last keep-alive."""
    server.send(PING, after=SILENCE / 2)
    started = time.monotonic()
    with pytest.raises(WhiteRabbitStreamError, match="silent"):
        read(SILENCE, LONG, LONG)
    assert time.monotonic() - started >= 1.5 * SILENCE - 0.05


def test_within(server: StreamServer, read: Read) -> None:
    """`read` returns an empty list after `within` seconds, although keep-alives keep the stream alive."""
    for number in range(1, 4):
        server.send(PING, after=number * SILENCE / 4)
    assert read(LONG, SILENCE, LONG) == []


def test_quiet(server: StreamServer, read: Read) -> None:
    """The first keep-alive after `quiet` seconds makes `read` return an empty list, and the stream stays open."""
    server.send(PING)
    assert read(LONG, LONG, 0.0) == []
    server.send(EVENT)
    assert read(LONG, LONG, 0.0) == [EVENT]


def test_pauses_between_reads_are_not_silence(server: StreamServer, read: Read) -> None:
    """An event that arrives between two reads is returned by the second read, however late that is."""
    server.send(PING)
    assert read(SILENCE, LONG, 0.0) == []
    server.send(EVENT)
    time.sleep(2 * SILENCE)
    assert read(SILENCE, LONG, 0.0) == [EVENT]


def test_end_of_the_stream(server: StreamServer, read: Read) -> None:
    """`read` returns None when the server has ended the stream."""
    server.send(PING + b"data: half")
    server.send(b"")
    assert read(LONG, LONG, LONG) is None


@pytest.mark.parametrize("read", ["requests"], indirect=True)
def test_broken_chunks(server: StreamServer, read: Read) -> None:
    """The error of a stream with broken chunks, which urllib3 quotes, shows no secret."""
    server.send(EVENT)
    assert read(LONG, LONG, LONG) == [EVENT]
    server.send_raw(f"no chunk, but {SECRET}\r\n".encode())
    with pytest.raises(WhiteRabbitTransportError, match="the stream broke: ") as broken:
        read(LONG, LONG, LONG)
    assert SECRET[:8] not in str(broken.value)


async def test_broken_chunks_with_aiohttp(server: StreamServer) -> None:
    """Neither does the error of an asynchronous stream, in which aiohttp may quote them."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        answer = await session.get(server.url)
        answer.content.set_exception(aiohttp.ClientPayloadError(f"Bad chunk size: {SECRET}"))
        stream = aio_stream.EventStream(answer, MAX_EVENT_BYTES, RequestLog(REQUEST, 1), Hiding([SECRET]))
        with pytest.raises(WhiteRabbitTransportError, match=r"the stream broke: .*Bad chunk size: \*\*\*$"):
            await stream.read(LONG, LONG, LONG)
        stream.close()


def test_broken_connection(server: StreamServer, read: Read) -> None:
    """A connection that breaks before the end of the stream raises a transport error."""
    server.send(PING)
    assert read(LONG, LONG, 0.0) == []
    server.disconnect()
    with pytest.raises(WhiteRabbitTransportError, match="broke"):
        read(LONG, LONG, LONG)


def test_malformed_events(server: StreamServer, read: Read) -> None:
    """An event is not parsed by `read`, so a malformed one that is followed by another does no harm."""
    server.send(b"data: {not json\n\n" + EVENT)
    assert read(LONG, LONG, LONG) == [b"data: {not json\n\n", EVENT]


def test_large_events(server: StreamServer, read: Read) -> None:
    """An event that is larger than the bound raises a stream error."""
    server.send(b"data: " + b"1" * MAX_EVENT_BYTES + b"\n\n")
    with pytest.raises(WhiteRabbitStreamError, match="larger than"):
        read(LONG, LONG, LONG)
