"""`EventStream.read` of both transports: events, keep-alives, silence, and the end of the stream."""

from __future__ import annotations

import asyncio
import contextlib
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

LONGER_SILENCES = (SILENCE, 10 * SILENCE, 60 * SILENCE)
"""Seconds without a byte; the longer ones are for a machine on which threads are late."""

LONG = 120.0
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
        self._sending = threading.Thread()
        self._over = threading.Event()

    def _accept(self) -> None:
        self._connection, _ = self._server.accept()
        self._connection.recv(65536)
        self._connection.sendall(HEAD)

    def send_raw(self, data: bytes) -> None:
        """Send bytes that need not be a chunk."""
        self._accepting.join()
        self._connection.sendall(data)

    def send(self, data: bytes) -> None:
        """Send bytes; no bytes end the stream."""
        self.send_raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def send_in_turn(self, *pieces: bytes, every: float) -> None:
        """Let a thread send bytes, each so many seconds after those before."""

        def send() -> None:
            with contextlib.suppress(OSError):  # the client may have closed the connection
                for piece in pieces:
                    if self._over.wait(every):
                        return
                    self.send(piece)

        self._sending = threading.Thread(target=send)
        self._sending.start()

    def disconnect(self) -> None:
        """Close the connection in the middle of the answer."""
        self._accepting.join()
        self._over.set()
        if self._sending.ident is not None:
            self._sending.join()
        self._connection.close()
        self._server.close()


@pytest.fixture
def server() -> Iterator[StreamServer]:
    """Yield a server with one stream."""
    server = StreamServer()
    yield server
    server.disconnect()


@contextlib.contextmanager
def opened(transport: str, server: StreamServer) -> Iterator[Read]:
    """Open the server's stream with a transport, and yield the method that reads it."""
    if transport == "requests":
        with limited(Limits(connect=LONG, read=LONG, total=LONG)):
            answer = LimitedAdapter(None, keeps=False).send(requests.Request("GET", server.url).prepare(), stream=True)
        blocking = sync_io.EventStream(answer, MAX_EVENT_BYTES, RequestLog(REQUEST, 1), Hiding([SECRET]))
        with contextlib.closing(blocking):
            yield blocking.read
        return

    async def open_stream() -> tuple[aiohttp.ClientSession, aio_stream.EventStream]:
        session = aiohttp.ClientSession(auto_decompress=False)
        answer, entry = await session.get(server.url), RequestLog(REQUEST, 1)
        return session, aio_stream.EventStream(answer, MAX_EVENT_BYTES, entry, Hiding([SECRET]))

    with asyncio.Runner() as runner:
        session, stream = runner.run(open_stream())
        try:
            yield lambda *seconds: runner.run(stream.read(*seconds))
        finally:
            stream.close()
            runner.run(session.close())


@pytest.fixture(params=["requests", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> str:
    """Return the name of each transport."""
    return str(request.param)


@pytest.fixture
def read(transport: str, server: StreamServer) -> Iterator[Read]:
    """Open the server's stream with each transport, and yield the method that reads it."""
    with opened(transport, server) as read:
        yield read


def holds(transport: str, check: Callable[[StreamServer, Read, float], bool]) -> bool:
    """Return whether a check of a stream is true with a silence of `SILENCE` seconds, or else with a longer one.

    What is wrong with the silence is wrong with each of them; but if a thread is late, the longer ones are not over.
    """
    for silence in LONGER_SILENCES:
        server = StreamServer()
        try:
            with opened(transport, server) as read, contextlib.suppress(WhiteRabbitStreamError):
                if check(server, read, silence):
                    return True
        finally:
            server.disconnect()
    return False


def test_events(server: StreamServer, read: Read) -> None:
    """`read` returns the events that have arrived, however their bytes are cut, and skips keep-alives."""
    server.send(PING + EVENT[:5])
    server.send_in_turn(EVENT[5:] + EVENT, every=SILENCE / 4)
    assert read(LONG, LONG, LONG) == [EVENT, EVENT]


def test_a_keep_alive_inside_an_event(server: StreamServer, read: Read) -> None:
    """The bytes of a keep-alive that arrives in the middle of an event belong to the event, and end it."""
    server.send(b'data: {"a":\n')
    server.send_in_turn(b"data: 1}\n", PING, every=SILENCE / 4)
    [event] = read(LONG, LONG, LONG) or []
    assert event_data(event) == {"a": 1}


def test_silence(server: StreamServer, read: Read) -> None:
    """A stream that sends nothing for `silence` seconds raises a stream error, also after events."""
    server.send(EVENT)
    assert read(LONG, LONG, LONG) == [EVENT]
    with pytest.raises(WhiteRabbitStreamError, match=r"silent for 0\.4 s"):
        read(SILENCE, LONG, LONG)


def test_keep_alives_interrupt_the_silence(transport: str) -> None:
    """Keep-alives at intervals below `silence` keep the stream alive."""

    def is_read(server: StreamServer, read: Read, silence: float) -> bool:
        server.send_in_turn(*[PING] * 6, EVENT, every=silence / 4)
        return read(silence, LONG, LONG) == [EVENT]

    assert holds(transport, is_read)


def test_silence_after_keep_alives(transport: str) -> None:
    """The silence is measured from the last keep-alive."""

    def is_measured(server: StreamServer, read: Read, silence: float) -> bool:
        started = time.monotonic()
        server.send_in_turn(PING, every=silence / 2)
        with pytest.raises(WhiteRabbitStreamError, match="silent"):
            read(silence, LONG, LONG)
        return time.monotonic() - started >= 1.5 * silence - 0.05

    assert holds(transport, is_measured)


def test_within(server: StreamServer, read: Read) -> None:
    """`read` returns an empty list after `within` seconds, although keep-alives keep the stream alive."""
    server.send_in_turn(*[PING] * 3, every=SILENCE / 4)
    assert read(LONG, SILENCE, LONG) == []


def test_quiet(server: StreamServer, read: Read) -> None:
    """The first keep-alive after `quiet` seconds makes `read` return an empty list, and the stream stays open."""
    server.send(PING)
    assert read(LONG, LONG, 0.0) == []
    server.send(EVENT)
    assert read(LONG, LONG, 0.0) == [EVENT]


def test_pauses_between_reads_are_not_silence(transport: str) -> None:
    """An event that arrives between two reads is returned by the second read, however late that is."""

    def is_read(server: StreamServer, read: Read, silence: float) -> bool:
        server.send(PING)
        assert read(LONG, LONG, 0.0) == []
        server.send(EVENT)
        time.sleep(2 * silence)
        return read(silence, LONG, 0.0) == [EVENT]

    assert holds(transport, is_read)


def test_end_of_the_stream(server: StreamServer, read: Read) -> None:
    """`read` returns None when the server has ended the stream."""
    server.send(PING + b"data: half")
    server.send(b"")
    assert read(LONG, LONG, LONG) is None


@pytest.mark.parametrize("transport", ["requests"], indirect=True)
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
