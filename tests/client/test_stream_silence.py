"""How long an asynchronous stream may be silent: one timer watches over all its reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from airflow_provider_whiterabbit.client.stream import Stream

PING = b":ping\n\n"
LIMIT = 0.4
"""Seconds of silence that end a read."""


class Line:
    """The server's end of a stream."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        self.writer = writer
        self.ready.set()

    def say(self, data: bytes) -> None:
        self.writer.write(data)


@pytest.fixture
async def line() -> Line:
    return Line()


@pytest.fixture
async def stream(line: Line) -> AsyncIterator[Stream]:
    server = await asyncio.start_server(line.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        found = Stream(await session.get(f"http://127.0.0.1:{port}/"))
        await line.ready.wait()
        yield found
        found.close()
    line.writer.close()
    server.close()


async def test_silence(line: Line, stream: Stream):
    """A read without any bytes ends after its time, though earlier ones had some."""
    line.say(PING)
    assert await stream.read(LIMIT) == PING
    with pytest.raises(TimeoutError):
        await stream.read(LIMIT)


async def test_pings_keep_it_alive(line: Line, stream: Stream):
    """Pings within the limit keep a stream alive for longer than the limit."""
    for _ in range(6):
        asyncio.get_running_loop().call_later(LIMIT / 4, line.say, PING)
        assert await stream.read(LIMIT) == PING


async def test_a_shorter_limit_counts(line: Line, stream: Stream):
    """A read with a shorter limit than the one before ends by its own."""
    line.say(PING)
    assert await stream.read(3600) == PING
    with pytest.raises(TimeoutError):
        await stream.read(LIMIT)


async def test_time_without_a_read_is_not_silence(line: Line, stream: Stream):
    """What arrives while nobody reads is there later, however long that took."""
    line.say(PING)
    assert await stream.read(LIMIT) == PING
    line.say(PING)
    await asyncio.sleep(2 * LIMIT)
    assert await stream.read(LIMIT) == PING
    line.say(PING)
    assert await stream.read(LIMIT) == PING


async def test_end(line: Line, stream: Stream):
    """A stream that the server closes ends without bytes and without an error."""
    line.writer.close()
    assert await stream.read(LIMIT) == b""
