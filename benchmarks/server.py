"""A lean White Rabbit in a process of its own: it answers anybody at next to no cost, and checks nothing.

Thousands of streams would keep the emulator, which checks and records everything, busier than those who are measured.

An execution whose id begins with ``run-`` runs until ``/end/<id>`` or ``/end/all`` is asked for; one with
``done-<bytes>-`` has ended, with an output of so many bytes. ``/poll/<id>`` answers 404 while an execution runs, for
those who can only tell a 404 from a 200.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import resource
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

SLOTS = 1000
"""Moments within a ping's interval at which the streams have their turns."""

PING = b"7\r\n:ping\n\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TIME = "2026-04-20T10:00:00Z"


def output_of(size: int) -> Any:
    """Return a value of about so many bytes of JSON: a list of transfers, always the same."""
    draw = random.Random(size)  # noqa: S311
    transfers: list[Any] = []
    while size > 0:
        transfer = {
            "hash": f"0x{draw.getrandbits(256):064x}",
            "token": draw.choice(("USDC", "WETH", "DAI")),
            "amount": str(draw.getrandbits(80)),
            "block": draw.getrandbits(24),
            "price": round(draw.uniform(0, 5000), 6),
            "memo": draw.choice((None, "grüße", "refund")),
        }
        transfers.append(transfer)
        size -= len(json.dumps(transfer))
    return transfers


class World:
    """What the server knows."""

    def __init__(self, ping: float) -> None:
        self.ping = ping
        self.ended: set[str] = set()
        self.requests: Counter[str] = Counter()
        self.streams: list[list[Connection]] = [[] for _ in range(SLOTS)]
        self._outputs: dict[int, str] = {}

    def start(self) -> None:
        """Ping from now on."""
        loop = asyncio.get_running_loop()
        loop.call_later(self.ping / SLOTS, self._turn, loop, loop.time() + self.ping / SLOTS, 0)

    def _turn(self, loop: asyncio.AbstractEventLoop, now: float, slot: int) -> None:
        for stream in self.streams[slot]:
            stream.transport.write(PING)
        later = now + self.ping / SLOTS
        loop.call_at(later, self._turn, loop, later, (slot + 1) % SLOTS)

    def subscribe(self, stream: Connection) -> None:
        """Ping a stream from now on."""
        min(self.streams, key=len).append(stream)

    def end(self, identity: str = "all") -> None:
        """End an execution, or all, and tell the streams."""
        self.ended.add(identity)
        for slot in self.streams:
            for stream in list(slot):
                if self.is_over(stream.identity):
                    stream.say_end()

    def is_over(self, identity: str) -> bool:
        """Whether an execution has ended."""
        return not self.ended.isdisjoint((identity, "all")) or identity.startswith("done-")

    def record(self, identity: str) -> bytes:
        """Return the record of an execution."""
        over = self.is_over(identity)
        size = int(identity.split("-")[1]) if identity.startswith("done-") else 2
        if size not in self._outputs:
            self._outputs[size] = json.dumps(output_of(size), separators=(",", ":"))
        record = {
            "id": identity,
            "module": "WAIT",
            "status": "COMPLETED" if over else "EXECUTING",
            "completed": over,
            "error": None,
            "totalUsage": 0,
            "callback": None,
            "createdAt": TIME,
            "updatedAt": TIME,
            "timestamp": TIME,
        }
        output = self._outputs[size] if over else "null"
        return f'{json.dumps(record)[:-1]}, "output": {output}}}'.encode()


class Connection(asyncio.Protocol):
    """A connection: one request after the other, or a stream."""

    transport: asyncio.Transport

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer = b""
        self.identity = ""

    def connection_made(self, transport: Any) -> None:
        """Remember whom to answer."""
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Forget a stream."""
        for slot in self._world.streams if self.identity else ():
            if self in slot:
                slot.remove(self)

    def data_received(self, data: bytes) -> None:
        """Answer what is complete; no request has a body."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            path = self._buffer.split(b" ", 2)[1].decode()
            self._buffer = self._buffer[end + 4 :]
            self._answer(path)

    def _answer(self, path: str) -> None:
        world = self._world
        *_, kind, name = path.split("/")
        if name == "stream":
            world.requests["stream"] += 1
            self.identity = kind
            self.transport.write(HEAD)
            if world.is_over(self.identity):
                self.say_end()
            else:
                world.subscribe(self)
        elif kind == "executions":
            world.requests["record"] += 1
            self._send(200, world.record(name))
        elif kind == "poll":
            world.requests["poll"] += 1
            self._send(200 if world.is_over(name) else 404, b"{}")
        elif kind == "end":
            world.end(name)
            self._send(200, b"{}")
        else:
            streams = sum(map(len, world.streams))
            self._send(200, json.dumps({"streams": streams, **world.requests}).encode())

    def say_end(self) -> None:
        """Send the last event of a stream, and close it."""
        event = b"data: " + self._world.record(self.identity) + b"\n\n"
        self.transport.write(f"{len(event):x}\r\n".encode() + event + b"\r\n0\r\n\r\n")
        self.transport.close()

    def _send(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def start(ping: float) -> tuple[World, asyncio.Server]:
    """Serve from this event loop, on a free port."""
    world = World(ping)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(world), "127.0.0.1", 0, backlog=4096)
    world.start()
    return world, server


def url_of(server: asyncio.Server) -> str:
    """Return where it listens."""
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def allow_many_files() -> None:
    """Raise the limit of open files as far as this process may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def serving(ping: float = 1.0) -> Iterator[str]:
    """Serve from a process; yield the URL.

    :param ping: seconds between two pings of a stream.
    """
    command = [sys.executable, "-m", "benchmarks.server", str(ping)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def ask(url: str, path: str) -> Any:
    """Ask the server something: ``/counts`` of streams that are open and requests that have arrived, or ``/end/…``."""
    with urllib.request.urlopen(f"{url}{path}", timeout=60) as answer:  # noqa: S310
        return json.load(answer)


async def _serve() -> None:
    allow_many_files()
    _, server = await start(float(sys.argv[1]))
    print(url_of(server), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
