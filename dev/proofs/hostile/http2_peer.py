"""The server's side of a stream of HTTP/2: writes frames byte by byte, so that an answer can break any rule.

Nothing here waits: a server of HTTP/2 answers many requests of one connection at the same time.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from dev.proofs.hostile.peer import Right

if TYPE_CHECKING:
    from dev.harness.http2_server import Peer

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FIELDS = 0x20
"""Flags of frames (RFC 9113, section 6)."""

MAX_ID = 2**31 - 1
MAX_PAYLOAD = 16_384
"""Bytes of a frame's payload, of which a client must accept as many."""


class Kind(IntEnum):
    """Types of frames (RFC 9113, section 6)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9
    ALTSVC = 10
    UNKNOWN = 0xFA


Field = tuple[str | bytes, str | bytes]


@dataclass(slots=True)
class Http2Peer:
    """One request on a connection of HTTP/2.

    :param connection: the connection.
    :param stream: the id of the stream; 0 if no request has arrived yet.
    :param right: the right answer.
    """

    connection: Peer
    stream: int
    right: Right

    def frame(
        self, kind: int, flags: int = 0, payload: bytes = b"", *, stream: int | None = None, times: int = 1
    ) -> None:
        """Send a frame.

        :param stream: the id of its stream; by default that of the request.
        :param times: how often.
        """
        stream = self.stream if stream is None else stream
        if self.connection.is_open:
            self.connection.raw(kind, flags, stream, payload, times)

    def head(self, *fields: Field, end: bool = False, flags: int = END_HEADERS) -> None:
        """Send the head of an answer: HEADERS with these fields; by default, those of the right answer."""
        block = encoded(*(fields or self.fields))
        self.frame(Kind.HEADERS, flags | (END_STREAM if end else 0), block)

    def data(self, data: bytes = b"", *, end: bool = False) -> None:
        """Send a part of a body, in frames that are not too large."""
        pieces = [data[start : start + MAX_PAYLOAD] for start in range(0, len(data), MAX_PAYLOAD)] or [b""]
        for piece in pieces[:-1]:
            self.frame(Kind.DATA, 0, piece)
        self.frame(Kind.DATA, END_STREAM if end else 0, pieces[-1])

    def answer(self, body: bytes | None = None, *fields: Field) -> None:
        """Send a whole answer that breaks no rule; by default the right one.

        :param fields: its pseudo-header and its headers; by default those of the right answer.
        """
        self.head(*fields)
        self.data(self.right.body if body is None else body, end=True)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The pseudo-header and the headers of the right answer."""
        return (":status", "200"), ("content-type", self.right.content_type)

    def settings(self, *values: tuple[int, int], flags: int = 0, times: int = 1) -> None:
        """Send SETTINGS."""
        payload = b"".join(struct.pack(">HI", *value) for value in values)
        self.frame(Kind.SETTINGS, flags, payload, stream=0, times=times)

    def go_away(self, last: int, code: int = 0, debug: bytes = b"", times: int = 1) -> None:
        """Send GOAWAY.

        :param last: the id of the last stream that the server processes.
        """
        self.frame(Kind.GOAWAY, 0, struct.pack(">II", last, code) + debug, stream=0, times=times)

    def reset(self, code: int = 2) -> None:
        """Send RST_STREAM."""
        self.frame(Kind.RST_STREAM, 0, struct.pack(">I", code))

    def bytes(self, data: bytes) -> None:
        """Send bytes that need be no frames."""
        self.connection.transport.write(data)

    def mute(self) -> None:
        """Send nothing more on the connection, and ignore what the client sends."""
        self.connection.is_deaf = self.connection.is_mute = True

    def close(self) -> None:
        """Close the connection."""
        self.connection.transport.close()

    def cut(self) -> None:
        """Close the connection with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self.connection.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
        self.connection.transport.abort()

    def again(self, pause: float, step: Callable[[], Any]) -> None:
        """Do something again and again, until the client closes the connection.

        :param pause: seconds between two times.
        """
        if self.connection.is_open:
            # A client that does not read is no reason to keep what it has not read.
            if not self.connection.transport.get_write_buffer_size():
                step()
            self.later(pause, lambda: self.again(pause, step))

    def later(self, seconds: float, step: Callable[[], Any]) -> None:
        """Do something after a time."""
        asyncio.get_running_loop().call_later(seconds, step)


def encoded(*fields: Field) -> bytes:
    """Return a block of header fields, as literals that change no table (RFC 7541, section 6.2.2)."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def number(value: int, prefix_bits: int, first: int = 0) -> bytes:
    """Return an integer of HPACK (RFC 7541, section 5.1).

    :param first: the bits of the first byte before the prefix.
    """
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    found, value = bytearray([first | most]), value - most
    while value >= 128:
        found.append(value % 128 + 128)
        value //= 128
    return bytes([*found, value])


def _text(text: str | bytes) -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    return number(len(raw), 7) + raw
