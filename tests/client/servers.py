"""Servers over plain sockets, for what no emulator of White Rabbit would ever do."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def server(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections on loopback, one after the other, and treat each by `handle`; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        handle(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def request_of(connection: socket.socket) -> bytes:
    """Read one whole request: what is left unread when a connection is closed resets it."""
    stream = connection.makefile("rb")
    first = stream.readline()
    headers = http.client.parse_headers(stream)
    return first + bytes(headers) + stream.read(int(headers.get("content-length", 0)))
