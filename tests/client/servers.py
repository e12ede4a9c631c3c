"""Servers over plain sockets, for answers that the emulator cannot give."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def server(handle: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[int]:
    """Accept connections on loopback one after the other, pass each to `handle`, and yield the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:

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


@contextlib.contextmanager
def concurrent_server(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections on loopback, pass each to `handle` in a thread of its own, and yield the port."""
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            handle(connection)

    def accept(connection: socket.socket) -> None:
        connections.append(connection.dup())
        threads.append(threading.Thread(target=serve, args=(connections[-1],)))
        threads[-1].start()

    with server(accept) as port:
        yield port
    for connection, thread in zip(connections, threads, strict=True):
        with contextlib.suppress(OSError):  # the client may have closed it
            connection.shutdown(socket.SHUT_RDWR)
        thread.join()


def read_request(connection: socket.socket) -> bytes:
    """Read one whole request. A connection that is closed while bytes are unread would be reset."""
    stream = connection.makefile("rb")
    first = stream.readline()
    headers = http.client.parse_headers(stream)
    return first + bytes(headers) + stream.read(int(headers.get("content-length", 0)))


@contextlib.contextmanager
def refusing_proxy(host: str = "127.0.0.1") -> Iterator[tuple[int, list[bytes]]]:
    """Run a proxy that answers 407 to every request; yield its port, and the requests that it receives."""
    received: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        received.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with server(refuse, host) as port:
        yield port, received
