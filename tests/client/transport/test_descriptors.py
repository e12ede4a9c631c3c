"""Waits in a process that has no file descriptor left: they go on by polling, and other code can open files."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import aiohttp
import pytest

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.descriptors import ROOM, SCARCE_TURNS, OpenStreams, is_shortage
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError
from tests.client.servers import concurrent_server, read_request
from tests.client.transports import settings_for

WAITS = 120
DESCRIPTORS = 60
"""How many file descriptors the process of the waits has for them."""

ENDED = 30

SCRIPT = """
import asyncio, os, resource, sys
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.client.wait.timing import Timing

async def main(url, key, secret, descriptors, *ids):
    settings = ClientSettings(url, key, secret)
    async with AsyncClient(settings):  # opens the session that all waits share
        used = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + int(descriptors),) * 2)
        waits = [asyncio.create_task(wait(settings, identity)) for identity in ids]
        await asyncio.to_thread(sys.stdin.readline)
        async with asyncio.timeout(120):  # the requests that are on their way may use the room for a while
            in_a_row = 0
            while in_a_row < 20:
                in_a_row = in_a_row + 1 if can_open(3) else 0
                await asyncio.sleep(0.05)
        print("FILES", flush=True)
        await asyncio.gather(*waits)

def can_open(count):
    files = []
    try:
        for _ in range(count):
            files.append(open(os.devnull))
    except OSError:
        return False
    finally:
        for file in files:
            file.close()
    return True

async def wait(settings, identity):
    async with AsyncClient(settings, Timing(min_poll_interval=0.1)) as client:
        snapshot = await client.wait(EXECUTION.followed(identity), poll_interval=0.5)
    print(identity, snapshot.status, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


class Stream:
    """A stream that can be closed."""

    is_closed = False
    owner: OpenStreams | None = None

    def __init__(self, *, shares_connection: bool = False) -> None:
        self.shares_connection = shares_connection

    def close(self) -> None:
        """Close the stream."""
        self.is_closed = True
        if self.owner is not None:
            self.owner.forget(self)


@pytest.mark.alone
def test_waits_go_on(whiterabbit_emulator: Emulator, tmp_path: Path) -> None:
    """With file descriptors for half of the waits, those without a stream notice the end, and others can open files."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("SLOW", manual=True) for _ in range(WAITS)]
    command = [sys.executable, "-c", SCRIPT, wr.url, wr.api_key, wr.api_secret, str(DESCRIPTORS), *ids]
    log = tmp_path / "log"
    with log.open("w") as stderr, running(command, stderr) as (stdin, lines):
        # Each wait has read its record at least twice, so all have a stream or poll.
        wr.wait_for_request(kind="record", count=3 * WAITS, timeout=60)
        polling = [execution_id for execution_id in ids if not wr.streams(execution_id)]
        assert len(polling) > ENDED
        for execution_id in polling[:ENDED]:
            wr.complete(execution_id, 1)
        assert {next(lines) for _ in range(ENDED)} == {f"{execution_id} COMPLETED" for execution_id in polling[:ENDED]}
        stdin.write("\n")
        stdin.flush()
        assert next(lines) == "FILES"
        for execution_id in set(ids) - set(polling[:ENDED]):
            wr.complete(execution_id, 1)
        assert len(list(lines)) == WAITS - ENDED
    warnings = log.read_text()
    assert warnings.count("has no file descriptor left") == 1
    assert "ulimit -n" in warnings


@contextmanager
def running(command: list[str], stderr: IO[str]) -> Iterator[tuple[IO[str], Iterator[str]]]:
    """Run a process, which is killed at the end; yield its input and the lines of its output."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdin, (line.rstrip("\n") for line in process.stdout)
        finally:
            process.kill()


def test_streams_are_closed() -> None:
    """A shortage closes some of the open streams, once for all requests that fail together."""
    streams = OpenStreams()
    opened = [Stream() for _ in range(3 * ROOM)]
    for stream in opened:
        streams.add(stream, 600)
    opened[0].close()
    streams.make_room()
    streams.make_room()
    assert sum(stream.is_closed for stream in opened) == ROOM + 1
    assert streams.are_scarce


@pytest.mark.parametrize(("on_shared", "own", "closed"), [(False, 0, 0), (True, 0, ROOM), (False, 2, 2), (True, 2, 2)])
def test_streams_that_share_connections(on_shared: bool, own: int, closed: int) -> None:
    """Such streams are closed for their places alone, because their connections stay open."""
    streams = OpenStreams()
    opened = [Stream(shares_connection=number >= own) for number in range(3 * ROOM)]
    for stream in opened:
        streams.add(stream, 600)
    streams.make_room(on_shared=on_shared)
    assert sum(stream.is_closed for stream in opened) == closed
    assert sum(stream.is_closed for stream in opened[:own]) == own
    assert streams.are_scarce == bool(closed)


async def test_few_connections_are_kept(whiterabbit_emulator: Emulator) -> None:
    """While file descriptors are scarce, a few connections are used again; the others are closed after an answer."""
    together = threading.Barrier(3 * SCARCE_TURNS)
    closed = threading.Semaphore(0)
    accepted: list[int] = []

    def answer(connection: socket.socket) -> None:
        accepted.append(1)
        while request := read_request(connection).strip():
            if b"/first-" in request:
                together.wait(60)  # each has a connection of its own
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        closed.release()

    with concurrent_server(answer) as port:
        settings = settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}")
        async with AsyncClient(settings) as client:
            reads = [client.send(api.get_execution(f"first-{number}")) for number in range(together.parties)]
            await asyncio.gather(*reads)
            client._shared.streams.make_room()
            for _ in range(2 * together.parties):  # aiohttp takes the connections in turn
                await client.send(api.get_execution("e-1"))
            for _ in range(together.parties - SCARCE_TURNS):
                assert await asyncio.to_thread(closed.acquire, timeout=30)
            assert not closed.acquire(blocking=False)
    assert len(accepted) == together.parties


def test_no_stream_is_opened() -> None:
    """After a shortage, no stream is opened for some time, and a stream that was being opened is closed."""
    streams, late = OpenStreams(), Stream()
    with streams.opening(600):
        streams.make_room()
    with pytest.raises(WhiteRabbitStreamError, match="no file descriptor left"):
        streams.add(late, 600)
    assert late.is_closed
    with pytest.raises(WhiteRabbitStreamError, match="no file descriptor left"), streams.opening(600):
        raise AssertionError
    with streams.opening(0):
        pass


def test_opening_that_fails() -> None:
    """An opening that fails during a shortage says so; another one raises its own error."""
    streams = OpenStreams()
    with pytest.raises(WhiteRabbitTransportError, match="refused"), streams.opening(600):
        raise WhiteRabbitTransportError("refused")

    def open_without_descriptors() -> None:
        with streams.opening(600):
            streams.make_room()
            raise WhiteRabbitTransportError("Too many open files")

    with pytest.raises(WhiteRabbitStreamError, match="no file descriptor left"):
        open_without_descriptors()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), True),
        (OSError(errno.ENFILE, os.strerror(errno.ENFILE)), True),
        (aiohttp.ClientOSError(errno.EMFILE, "Too many open files"), True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), False),
    ],
)
def test_is_shortage(error: OSError, expected: bool) -> None:
    """Only a missing file descriptor is a shortage."""
    assert is_shortage(error) is expected
