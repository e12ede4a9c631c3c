"""A small White Rabbit server for benchmarks: it runs in a process of its own and answers without any checks.

The emulator checks and records every request. With thousands of streams the emulator would use more CPU than the
measured programs.

An execution whose id begins with ``run-`` runs until a client requests ``/end/<id>`` or ``/end/all``. An execution
whose id begins with ``done-<bytes>-`` has completed, and its output has about that many bytes. ``/poll/<id>`` answers
404 while the execution runs and 200 afterwards, for clients that look only at the status of an answer. After
``/outage/<seconds>``, the server aborts every stream and, for so long, every request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import resource
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

SLOTS = 1000
"""Number of time slots in a ping interval; each stream gets its pings in one slot, to spread them evenly."""

PING = b"7\r\n:ping\n\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TIME = "2026-04-20T10:00:00Z"


def output_of(size: int) -> Any:
    """Return a list of transfers with about `size` bytes of JSON; the same size always gives the same list."""
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
    """The server's executions, open streams and request counts.

    :param ping_interval: seconds between two pings of a stream.
    """

    def __init__(self, ping_interval: float) -> None:
        self.ping_interval = ping_interval
        self.ended: set[str] = set()
        self.requests: Counter[str] = Counter()
        self.moments: list[float] = []
        self.outage_ends = 0.0
        self.streams: list[list[Connection]] = [[] for _ in range(SLOTS)]
        self._outputs: dict[int, str] = {}

    def start(self) -> None:
        """Start to send pings to all streams."""
        loop = asyncio.get_running_loop()
        first = loop.time() + self.ping_interval / SLOTS
        loop.call_at(first, self._ping_slot, loop, first, 0)

    def _ping_slot(self, loop: asyncio.AbstractEventLoop, now: float, slot: int) -> None:
        for stream in self.streams[slot]:
            stream.transport.write(PING)
        following = now + self.ping_interval / SLOTS
        loop.call_at(following, self._ping_slot, loop, following, (slot + 1) % SLOTS)

    def subscribe(self, stream: Connection) -> None:
        """Send pings to a stream from now on, in the slot with the fewest streams."""
        min(self.streams, key=len).append(stream)

    def begin_outage(self, seconds: float) -> None:
        """Abort all streams now, and all requests for so many seconds. Forget when requests have arrived."""
        self.moments.clear()
        self.outage_ends = time.monotonic() + seconds
        for slot in self.streams:
            for stream in slot:
                stream.transport.abort()

    def end(self, execution_id: str = "all") -> None:
        """End one execution, or all, and send the terminal event to their streams."""
        self.ended.add(execution_id)
        for slot in self.streams:
            for stream in list(slot):
                if self.has_ended(stream.execution_id):
                    stream.send_terminal_event()

    def has_ended(self, execution_id: str) -> bool:
        """Whether an execution has ended."""
        return not self.ended.isdisjoint((execution_id, "all")) or execution_id.startswith("done-")

    def record(self, execution_id: str) -> bytes:
        """Return the record of an execution as JSON."""
        ended = self.has_ended(execution_id)
        size = int(execution_id.split("-")[1]) if execution_id.startswith("done-") else 2
        if size not in self._outputs:
            self._outputs[size] = json.dumps(output_of(size), separators=(",", ":"))
        record = {
            "id": execution_id,
            "module": "WAIT",
            "status": "COMPLETED" if ended else "EXECUTING",
            "completed": ended,
            "error": None,
            "totalUsage": 0,
            "callback": None,
            "createdAt": TIME,
            "updatedAt": TIME,
            "timestamp": TIME,
        }
        output = self._outputs[size] if ended else "null"
        return f'{json.dumps(record)[:-1]}, "output": {output}}}'.encode()


class Connection(asyncio.Protocol):
    """A client's connection, which carries one request after the other or one event stream."""

    transport: asyncio.Transport

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer = b""
        self.execution_id = ""
        """Id of the execution whose stream this connection carries; empty if it carries none."""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport for the answers."""
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Stop sending pings to the stream of a closed connection."""
        for slot in self._world.streams if self.execution_id else ():
            if self in slot:
                slot.remove(self)

    def data_received(self, data: bytes) -> None:
        """Answer each request that has arrived completely; requests have no bodies."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            path = self._buffer.split(b" ", 2)[1].decode()
            self._buffer = self._buffer[end + 4 :]
            self._answer(path)

    def _answer(self, path: str) -> None:
        world = self._world
        *_, kind, name = path.split("/")
        if path.startswith("/v1/"):
            world.moments.append(time.monotonic())
            if world.moments[-1] < world.outage_ends:
                self.transport.abort()
                return
        if name == "stream":
            world.requests["stream"] += 1
            self.execution_id = kind
            self.transport.write(HEAD)
            if world.has_ended(self.execution_id):
                self.send_terminal_event()
            else:
                world.subscribe(self)
        elif kind == "executions":
            world.requests["record"] += 1
            self._send(200, world.record(name))
        elif kind == "poll":
            world.requests["poll"] += 1
            self._send(200 if world.has_ended(name) else 404, b"{}")
        elif kind == "end":
            world.end(name)
            self._send(200, b"{}")
        elif kind == "outage":
            world.begin_outage(float(name))
            self._send(200, b"{}")
        elif name == "moments":
            self._send(200, json.dumps(world.moments).encode())
        else:
            streams = sum(map(len, world.streams))
            self._send(200, json.dumps({"streams": streams, **world.requests}).encode())

    def send_terminal_event(self) -> None:
        """Send the terminal event of the stream, and close the connection."""
        event = b"data: " + self._world.record(self.execution_id) + b"\n\n"
        self.transport.write(f"{len(event):x}\r\n".encode() + event + b"\r\n0\r\n\r\n")
        self.transport.close()

    def _send(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def start(ping_interval: float) -> tuple[World, asyncio.Server]:
    """Start the server on this event loop and a free port; the parameter is that of `World`."""
    world = World(ping_interval)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(world), "127.0.0.1", 0, backlog=4096)
    world.start()
    return world, server


def url_of(server: asyncio.Server) -> str:
    """Return the URL of a server that `start` has started."""
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def allow_many_files() -> None:
    """Raise this process's limit of open files to the maximum that the system allows."""
    _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))


@contextlib.contextmanager
def serving(ping_interval: float = 1.0) -> Iterator[str]:
    """Run the server in a process of its own while the block runs; yield the server's URL.

    :param ping_interval: seconds between two pings of a stream.
    """
    command = [sys.executable, "-m", "benchmarks.server", str(ping_interval)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def get_json(url: str, path: str) -> Any:
    """Return the server's answer to a GET request.

    :param path: a path of the API, ``/end/<id>``, ``/outage/<seconds>``, ``/counts`` for the number of open streams and
        received requests, or ``/moments`` for the times at which API requests have arrived since the last outage began.
    """
    with urllib.request.urlopen(f"{url}{path}", timeout=60) as answer:  # noqa: S310
        return json.load(answer)


async def _serve_forever() -> None:
    allow_many_files()
    _, server = await start(float(sys.argv[1]))
    print(url_of(server), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve_forever())
