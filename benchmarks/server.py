"""A small White Rabbit server for benchmarks: it runs in a process of its own and answers without any checks.

The emulator checks and records every request. With thousands of streams the emulator would use more CPU than the
measured programs.

An execution whose id begins with ``run-`` runs until a client requests ``/end/<id>`` or ``/end/all``. An execution
whose id begins with ``done-<bytes>-`` has completed, and its output has about that many bytes. ``/poll/<id>`` answers
404 while the execution runs and 200 afterwards, for clients that look only at the status of an answer. After
``/outage/<seconds>``, the server aborts every stream and, for so long, every request. A submitted execution ends after
the seconds of ``/duration/<seconds>``; ``/ends`` tells when each of them has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import resource
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

from benchmarks.world import World

PING = b":ping\n\n"
CHUNKED_PING = b"7\r\n%s\r\n" % PING
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Connection(asyncio.Protocol):
    """A client's connection over HTTP/1.1, which carries one request after the other or one event stream."""

    transport: asyncio.Transport

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer = b""
        self.execution_id = ""
        self.slot = 0

    def connection_made(self, transport: Any) -> None:
        """Keep the transport for the answers."""
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Stop sending pings to the stream of a closed connection."""
        self._world.forget(self)

    def data_received(self, data: bytes) -> None:
        """Answer each request that has arrived completely."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < size:
                break
            path = self._buffer.split(b" ", 2)[1].decode()
            self._buffer = self._buffer[size:]
            self._world.answer(path, self)

    def send(self, status: int, body: bytes) -> None:
        """Send a whole answer."""
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)

    def open_stream(self) -> None:
        """Send the head of an event stream."""
        self.transport.write(HEAD)

    def ping(self) -> None:
        """Send a ping of the event stream."""
        self.transport.write(CHUNKED_PING)

    def end(self, event: bytes) -> None:
        """Send the last event of the event stream, and close the connection."""
        data = b"data: " + event + b"\n\n"
        self.transport.write(f"{len(data):x}\r\n".encode() + data + b"\r\n0\r\n\r\n")
        self.transport.close()

    def abort(self) -> None:
        """Abort the connection."""
        self.transport.abort()


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
