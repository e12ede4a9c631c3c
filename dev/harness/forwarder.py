"""A TCP forwarder: one address for several servers, as a load balancer gives it, that stays when one of them dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import Sequence
from typing import Self

_CHUNK = 65_536


class Forwarder:
    """Listens on a free port of this machine, and forwards each connection to the next server that accepts it.

    The port is known from the creation on, so that servers can be told the address before they run. A connection that
    no server accepts is closed. If a server dies, its connections break, as those of a load balancer do.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._ports: Sequence[int] = ()
        self._turns = itertools.count()
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        started = asyncio.start_server(self._accept, sock=self._socket)
        self._server = asyncio.run_coroutine_threadsafe(started, self._loop).result()
        return self

    def __exit__(self, *_exception: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set_targets(self, urls: Sequence[str]) -> None:
        """Set the addresses of the servers on this machine, which get the connections in turns."""
        self._ports = [int(url.rpartition(":")[2]) for url in urls]

    async def _close(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("connections are accepted in tasks of their own")
        self._connections.add(task)
        try:
            # asyncio would log the end of the task as an error if `_close` had cancelled it.
            with contextlib.suppress(asyncio.CancelledError):
                await self._forward(reader, writer)
        finally:
            self._connections.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer.transport):
            found = await self._connect()
            if found is None:
                return
            answers, requests = found
            with contextlib.closing(requests.transport):
                await asyncio.gather(_copy(reader, requests), _copy(answers, writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connect to the server whose turn it is, or to one of the others if it refuses; return None if all refuse."""
        ports, turn = self._ports, next(self._turns)
        for offset in range(len(ports)):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", ports[(turn + offset) % len(ports)])
        return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy what one side sends to the other side, and its end. If a side is gone, so is the connection of the other."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
