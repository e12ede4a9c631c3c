"""A server that sends each `FloorTrigger` the byte that ends its task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ByteServer:
    """A TCP server on a free port of this machine; each client introduces itself with its number and a line end."""

    def __init__(self) -> None:
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._register, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _register(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[int(await reader.readline())] = writer

    @property
    def client_count(self) -> int:
        """Number of clients that have connected so far."""
        return len(self._writers)

    def send_byte(self, number: int) -> None:
        """Send one byte to the client with this number."""
        self._loop.call_soon_threadsafe(self._writers[number].write, b"!")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the server in a thread while the block runs."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        yield
        self._loop.call_soon_threadsafe(self._loop.stop)
        thread.join()
