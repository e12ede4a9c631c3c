"""Reading an event stream, the same by both transports: what is an answer, and how long nothing may be one."""

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

from airflow_provider_whiterabbit.client.transport.aio_io import Stream
from airflow_provider_whiterabbit.client.transport.sync_io import EventStream
from airflow_provider_whiterabbit.client.wire.sse import MAX_EVENT_BYTES
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError

pytestmark = pytest.mark.alone

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PING = b":ping\n\n"
EVENT = b'data: {"a": 1}\n\n'
LIMIT = 0.4
"""Seconds of silence that kill a stream."""

LONG = 60.0

Read = Callable[[float, float, float], "list[Any] | None"]
"""Reads with so many seconds for silence, within, and quiet."""


class Line:
    """The server's end of a stream."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        self._connection, _ = self._server.accept()
        self._connection.recv(65536)
        self._connection.sendall(HEAD)

    def say(self, data: bytes, *, after: float = 0.0) -> None:
        """Send bytes, at once or some seconds from now."""
        self._accepting.join()
        chunk = f"{len(data):x}\r\n".encode() + data + b"\r\n"
        if after:
            threading.Timer(after, self._connection.sendall, (chunk,)).start()
        else:
            self._connection.sendall(chunk)

    def hang_up(self) -> None:
        """Close the connection in the middle of the answer."""
        self._accepting.join()
        self._connection.close()
        self._server.close()


@pytest.fixture
def line() -> Iterator[Line]:
    found = Line()
    yield found
    found.hang_up()


@pytest.fixture(params=["requests", "aiohttp"])
def read(request: pytest.FixtureRequest, line: Line) -> Iterator[Read]:
    """Open the stream."""
    if request.param == "requests":
        blocking = EventStream(requests.get(line.url, stream=True, timeout=LONG), MAX_EVENT_BYTES)
        yield blocking.read
        blocking.close()
        return

    async def opened() -> tuple[aiohttp.ClientSession, Stream]:
        session = aiohttp.ClientSession()
        return session, Stream(await session.get(line.url))

    with asyncio.Runner() as runner:
        session, stream = runner.run(opened())
        yield lambda *seconds: runner.run(stream.read(*seconds))
        stream.close()
        runner.run(session.close())


def test_events(line: Line, read: Read):
    """Events are answers, keep-alives before them are not, wherever the bytes are cut."""
    line.say(PING + EVENT[:5])
    line.say(EVENT[5:] + EVENT, after=LIMIT / 4)
    assert read(LONG, LONG, LONG) == [{"a": 1}, {"a": 1}]


def test_half_an_event_before_a_keep_alive(line: Line, read: Read):
    """A keep-alive that comes in a piece of its own is not dropped where it belongs to an event."""
    line.say(b'data: {"a":\n')
    line.say(b"data: 1}\n", after=LIMIT / 4)
    line.say(PING, after=LIMIT / 2)
    assert read(LONG, LONG, LONG) == [{"a": 1}]


def test_silence(line: Line, read: Read):
    """A stream without a byte is dead, though it had some before."""
    line.say(EVENT)
    assert read(LIMIT, LONG, LONG) == [{"a": 1}]
    with pytest.raises(WhiteRabbitStreamError, match=r"silent for 0\.4 s"):
        read(LIMIT, LONG, LONG)


def test_keep_alives_are_no_silence(line: Line, read: Read):
    """Keep-alives within the limit keep a stream alive for longer than the limit."""
    for number in range(1, 7):
        line.say(PING, after=number * LIMIT / 2)
    line.say(EVENT, after=7 * LIMIT / 2)
    assert read(LIMIT, LONG, LONG) == [{"a": 1}]


def test_silence_after_keep_alives(line: Line, read: Read):
    """Silence counts from the last keep-alive."""
    line.say(PING, after=LIMIT / 2)
    started = time.monotonic()
    with pytest.raises(WhiteRabbitStreamError, match="silent"):
        read(LIMIT, LONG, LONG)
    assert time.monotonic() - started >= 1.5 * LIMIT - 0.05


def test_time_over(line: Line, read: Read):
    """When the time is over there is an answer without events, whatever keeps the stream alive."""
    for number in range(1, 4):
        line.say(PING, after=number * LIMIT / 4)
    assert read(LONG, LIMIT, LONG) == []


def test_quiet(line: Line, read: Read):
    """After its time, a keep-alive is an answer without events, and the stream can be read on."""
    line.say(PING)
    assert read(LONG, LONG, 0.0) == []
    line.say(EVENT)
    assert read(LONG, LONG, 0.0) == [{"a": 1}]


def test_time_without_a_read_is_not_silence(line: Line, read: Read):
    """What arrives while nobody reads is there later, however long that took."""
    line.say(PING)
    assert read(LIMIT, LONG, 0.0) == []
    line.say(EVENT)
    time.sleep(2 * LIMIT)
    assert read(LIMIT, LONG, 0.0) == [{"a": 1}]


def test_end(line: Line, read: Read):
    """A stream that the server closes has no more answers."""
    line.say(PING + b"data: half")
    line.say(b"")
    assert read(LONG, LONG, LONG) is None


def test_broken(line: Line, read: Read):
    """A connection that is lost in the middle is no end."""
    line.say(PING)
    assert read(LONG, LONG, 0.0) == []
    line.hang_up()
    with pytest.raises(WhiteRabbitTransportError, match="broke"):
        read(LONG, LONG, LONG)


def test_no_events(line: Line, read: Read):
    """What is no event is an error."""
    line.say(b"data: {not json\n\n")
    with pytest.raises(WhiteRabbitStreamError, match="JSON"):
        read(LONG, LONG, LONG)
