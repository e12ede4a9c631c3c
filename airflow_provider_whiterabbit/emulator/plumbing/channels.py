"""What carries a request and its answer and can be broken off: a TCP connection, or a stream of HTTP/2."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Protocol

CHANNEL = "whiterabbit.channel"
"""Key under which the ``extensions`` of an ASGI scope hold the `Channel` of the request."""


class Channel(Protocol):
    """What a simulated fault needs of the connection on which a request has arrived."""

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be sent to the client of the request."""

    def reset(self) -> None:
        """Break the answer off: with an RST of the TCP connection, or with RST_STREAM in HTTP/2."""

    def hang_up(self) -> None:
        """Close the TCP connection with a FIN, after a GOAWAY in HTTP/2, even if the answer is incomplete."""


class TcpChannel:
    """A TCP connection that carries one request at a time, as in HTTP/1.1."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    @property
    def is_closing(self) -> bool:
        """Whether the connection is closed, or closes as soon as the client has received what was sent."""
        return self._transport.is_closing()

    def reset(self) -> None:
        """Close the TCP connection with an RST."""
        reset(self._transport)

    def hang_up(self) -> None:
        """Close the TCP connection with a FIN."""
        self._transport.close()


def reset(transport: asyncio.Transport) -> None:
    """Close a TCP connection with an RST instead of a FIN. Nothing happens if the connection is closed already."""
    connection_socket = transport.get_extra_info("socket")
    if connection_socket.fileno() < 0:
        return
    connection_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def send_at_once(transport: asyncio.Transport) -> None:
    """Let a TCP connection send each piece of data at once.

    asyncio does so only for sockets that were made with an explicit protocol. Otherwise, a response in two pieces takes
    40 ms.
    """
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
