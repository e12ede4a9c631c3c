"""The asynchronous client gives the event loop back to other waits while it reads large answers and floods."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import resource
import socket
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.aio_stream import EventStream
from airflow_provider_whiterabbit.client.transport.compression import STREAM_PIECE_BYTES
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.wait.commands import Open, Read
from airflow_provider_whiterabbit.client.wire.sse import event_data
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.servers import read_request, server
from tests.client.transports import settings_for

BLOCKED = 0.1
"""Seconds of CPU time that the loop may need between two turns of another task."""

MEMORY = 32 * 1024 * 1024
"""Bytes, less than the answers have and more than reading them needs."""

READ = api.get_execution("e-1")
WANTED = ("id", "status")


@contextlib.contextmanager
def sending(kind: str, pieces: Callable[[], Iterator[bytes]], *fields: str) -> Iterator[str]:
    """Run a server that sends these pieces as the body of every answer; yield its URL."""

    def answer(connection: socket.socket) -> None:
        read_request(connection)
        head = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", "Connection: close", *fields, "", ""]
        connection.sendall("\r\n".join(head).encode())
        for piece in pieces():
            connection.sendall(piece)

    with server(answer) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def other_waits() -> AsyncIterator[None]:
    """Check that another task gets its turn again and again, and that the process takes little memory."""
    longest, before, most = 0.0, memory(), 0

    async def take_turns() -> None:
        nonlocal longest, most
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            longest, last = max(longest, time.thread_time() - last), time.thread_time()
            most = max(most, memory())

    task = asyncio.create_task(take_turns())
    try:
        yield
    finally:
        task.cancel()
    assert longest < BLOCKED
    assert most - before < MEMORY


def memory() -> int:
    """Return the memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def record(output: bytes, times: int) -> Iterator[bytes]:
    """Yield the bytes of a record whose status comes last."""
    yield b'{"id": "e-1", "output": ['
    for _ in range(times):
        yield output
    yield b'0], "status": "COMPLETED"}'


LARGE = {
    "objects": b'{"a": "bc", "d": [1, 2], "e": null},' * 20_000,
    "one string": b'"' + b"x" * 1_000_000 + b'",',
    "deep nesting": b"[" * 500_000 + b"]" * 500_000 + b",",
}


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("compressed", [False, True])
async def test_status_behind_a_large_output(whiterabbit_emulator: Emulator, kind: str, compressed: bool) -> None:
    """The status of a record of some 20 MB is found, although it comes last, and also in a compressed record."""
    if compressed:
        compressor = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
        body = b"".join(map(compressor.compress, record(LARGE[kind], 20))) + compressor.flush()
        sent = sending("application/json", lambda: iter((body,)), "Content-Encoding: gzip")
    else:
        sent = sending("application/json", lambda: record(LARGE[kind], 20))
    with sent as url:
        async with AsyncClient(settings_for(whiterabbit_emulator, url)) as client, other_waits():
            assert await client.send(READ, wanted=WANTED) == {"id": "e-1", "status": "COMPLETED"}


async def test_large_answer_that_is_no_record(whiterabbit_emulator: Emulator) -> None:
    """A large page of HTML is not read to its end."""
    with sending("text/html", lambda: iter(1000 * [b"<p>" + b"x" * 100_000])) as url:
        async with AsyncClient(settings_for(whiterabbit_emulator, url)) as client, other_waits():
            with pytest.raises(exc.WhiteRabbitTransportError, match="not a JSON object"):
                await client.send(READ, wanted=WANTED)


async def test_large_record_that_is_cut_off(whiterabbit_emulator: Emulator) -> None:
    """A large record that ends before its status is not JSON."""
    with sending("application/json", lambda: iter((b'{"id": "e-1", "output": [', LARGE["objects"]))) as url:
        async with AsyncClient(settings_for(whiterabbit_emulator, url)) as client, other_waits():
            with pytest.raises(exc.WhiteRabbitTransportError, match="not JSON"):
                await client.send(READ, wanted=WANTED)


FLOODS = {
    "comments": b":x\n\n" * 100_000,
    "lines": b"x\n" * 200_000,
    "blank lines": b"\n" * 1_000_000,
    "fields without data": b"id: 1\n\n" * 50_000,
}
END = b'data: {"a": 1}\n\n'


@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("compressed", [False, True])
async def test_floods_of_a_stream(whiterabbit_emulator: Emulator, kind: str, compressed: bool) -> None:
    """A flood of what is no event does not keep the loop from others, and the event behind it arrives."""
    flood = FLOODS[kind] + b"\n\n" + END
    body = gzip.compress(flood) if compressed else flood
    fields = ["Content-Encoding: gzip"] if compressed else []
    with sending("text/event-stream", lambda: iter((body,)), *fields) as url:
        async with AsyncClient(settings_for(whiterabbit_emulator, url)) as client, other_waits():

            def steps():  # type: ignore[no-untyped-def]
                yield Open(api.stream_execution("e-1"), 60)
                return (yield Read(silence=60, within=60, quiet=60))

            assert [event_data(event) for event in await client.run(steps())] == [{"a": 1}]


async def test_flood_of_events(whiterabbit_emulator: Emulator) -> None:
    """Thousands of events of one chunk arrive in order, in several reads, with turns of others in between."""
    count = 5000
    body = b"".join(b'data: {"a": %d}\n\n' % number for number in range(count))
    with sending("text/event-stream", lambda: iter((body,))) as url:
        async with AsyncClient(settings_for(whiterabbit_emulator, url)) as client, other_waits():

            def steps():  # type: ignore[no-untyped-def]
                yield Open(api.stream_execution("e-1"), 60)
                found = []
                while len(found) < count:
                    found += yield Read(silence=60, within=60, quiet=60)
                return found

            found = await client.run(steps())
            assert [event_data(event) for event in found] == [{"a": number} for number in range(count)]


class Arrived:
    """An event stream that has arrived in pieces, so that reading it waits for nothing."""

    status = 200
    closed = False

    def __init__(self, pieces: list[bytes]) -> None:
        self.headers: dict[str, str] = {}
        self._pieces = iter(pieces)

    @property
    def content(self) -> Arrived:
        """What the body is read from."""
        return self

    async def readany(self) -> bytes:
        """Return the next piece; an empty bytes object at the end."""
        return next(self._pieces, b"")

    def close(self) -> None:
        """Close nothing."""

    release = close


@pytest.mark.parametrize("count", [100, 20_000])
async def test_turns_of_keep_alives(count: int) -> None:
    """A keep-alive takes no turn of its own; others get a turn after so many bytes nevertheless."""
    ping, turns = b":ping\n\n", 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    stream = EventStream(Arrived([ping] * count), 1000, RequestLog(READ, 1), Hiding())
    assert await stream.read(silence=60, within=60, quiet=60) is None
    counting.cancel()
    due = count * len(ping) // STREAM_PIECE_BYTES
    assert due <= turns + 1 <= 2 * due + 1
