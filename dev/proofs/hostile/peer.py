"""The server's side of a TCP connection: reads requests, and writes bytes, so that an answer can break any rule."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from dataclasses import dataclass
from typing import Literal

Place = Literal["record", "stream", "submission"]
"""The kinds of requests that a misbehaviour affects."""


ELSEWHERE = "/elsewhere"
"""A path to which redirects lead. Nobody may follow them."""


class GoneError(Exception):
    """Raised if the client has closed the connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    :param head: its request line and its fields, in lower case.
    """

    method: str
    path: str
    head: bytes


@dataclass(slots=True)
class Right:
    """What a server without faults would answer.

    :param body: JSON, or the events of a stream.
    """

    body: bytes
    content_type: str
    place: Place


class Peer:
    """One connection of a client.

    :param connection: the accepted socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._input = connection.makefile("rb")
        self.right = Right(b"", "", "record")
        """The right answer to the last request."""

    def read_request(self) -> Request | None:
        """Return the next request; None if the client has closed the connection."""
        lines = []
        try:
            while (line := self._input.readline()) not in (b"\r\n", b""):
                lines.append(line.lower())
            if not lines:
                return None
            length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
            self._input.read(length)
        except OSError:
            return None
        method, path, _ = lines[0].decode().split(" ", 2)
        return Request(method.upper(), path, b"".join(lines))

    def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        """Send bytes.

        :param pause: seconds after each piece.
        :raises GoneError: if the client has closed the connection.
        """
        for piece in pieces:
            try:
                self._connection.sendall(piece)
            except OSError:
                raise GoneError from None
            if pause:
                self.pause(pause)

    def answer(self, body: bytes | None = None, *fields: str, status: str = "200 OK") -> None:
        """Send a whole answer that breaks no rule; by default the right one.

        :param fields: its header fields besides ``Content-Length``; by default ``Content-Type``.
        """
        body = self.right.body if body is None else body
        self.send(head(*(fields or (f"Content-Type: {self.right.content_type}",)), length=len(body), status=status))
        self.send(body)

    def pause(self, seconds: float) -> None:
        """Wait.

        :raises GoneError: as soon as the client closes the connection.
        """
        watch = select.poll()
        watch.register(self._connection, select.POLLRDHUP)  # a further request is no reason to stop waiting
        if watch.poll(1000 * seconds):
            raise GoneError

    def hold(self) -> None:
        """Say nothing more, until the client closes the connection."""
        while True:
            self.pause(3600)

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def shut(self) -> None:
        """End the connection in both directions, which wakes the thread that serves it."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._input.close()
        self._connection.close()


def head(*fields: str | bytes, length: int | None = None, status: str = "200 OK") -> bytes:
    """Return the head of an answer.

    :param fields: header fields, without line ends.
    :param length: the value of ``Content-Length``; None for no such field.
    """
    lines = [f"HTTP/1.1 {status}", *fields]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    encoded = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    return b"\r\n".join([*encoded, b"", b""])
