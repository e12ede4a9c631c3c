"""A stream of HTTP/2: passes one request and its answer between h2 and an ASGI application, with flow control."""

from __future__ import annotations

import asyncio
from typing import Protocol

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from starlette.types import Message

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes

_OF_HTTP1 = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Headers that an answer of HTTP/2 must not have (RFC 9113, section 8.2.2)."""


class Connection(Protocol):
    """What a stream needs of its connection."""

    transport: asyncio.Transport
    h2: H2Connection
    is_writable: bool
    """Whether the client takes the bytes that were sent."""

    def flush(self) -> None:
        """Send the frames that h2 has queued."""

    def forget(self, identity: int) -> None:
        """Forget a stream that has ended."""

    def hang_up(self) -> None:
        """Close the connection with all its streams."""


class Http2Stream:
    """One request and its answer: the ASGI application's `receive` and `send`, and the request's `Channel`.

    :param is_head: whether the answer has no body.
    """

    def __init__(self, connection: Connection, identity: int, *, is_head: bool) -> None:
        self.changes = Changes()
        """Notified when there is something to receive, when more may be sent, and at the end."""
        self._connection = connection
        self._identity = identity
        self._is_head = is_head
        self._body = b""
        self._uncredited = 0
        self._has_news = self._is_complete = self._closes_connection = self._has_ended = False

    # --- for the connection

    def take(self, data: bytes, flow: int) -> None:
        """Take bytes of the request's body.

        :param flow: how many bytes of the window they took, with padding.
        """
        self._body += data
        self._uncredited += flow
        self._has_news = True
        self.changes.notify()

    def take_end(self) -> None:
        """Take the end of the request's body."""
        self._has_news = self._is_complete = True
        self.changes.notify()

    def end(self) -> None:
        """End the stream, because its answer is complete, or because the client or the emulator has broken it off."""
        self._has_ended = True
        self._credit()
        self._connection.forget(self._identity)
        self.changes.notify()

    # --- the channel

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be sent on the stream."""
        return self._has_ended or self._connection.transport.is_closing()

    def reset(self, code: int = ErrorCodes.INTERNAL_ERROR) -> None:
        """End the stream with RST_STREAM. Nothing happens if the stream has ended already."""
        if not self.is_closing:
            self._connection.h2.reset_stream(self._identity, code)
            self.end()
            self._connection.flush()

    def hang_up(self) -> None:
        """Send GOAWAY, and close the connection with all its streams."""
        self._connection.hang_up()

    # --- for the application

    async def receive(self) -> Message:
        """Return the next part of the request's body, or the end of the stream."""
        await self.changes.until(lambda: self._has_news or self._has_ended)
        if self._has_ended:
            return {"type": "http.disconnect"}
        body, self._body, self._has_news = self._body, b"", False
        self._credit()
        self._connection.flush()
        return {"type": "http.request", "body": body, "more_body": not self._is_complete}

    async def send(self, message: Message) -> None:
        """Send the head of the answer or a part of its body, as soon as the client admits it."""
        if self.is_closing:
            return
        if message["type"] == "http.response.start":
            self._closes_connection = (b"connection", b"close") in message["headers"]
            fields = [(name, value) for name, value in message["headers"] if name.lower() not in _OF_HTTP1]
            self._connection.h2.send_headers(self._identity, [(b":status", b"%d" % message["status"]), *fields])
            self._connection.flush()
            return
        await self._send_data(b"" if self._is_head else message.get("body", b""))
        if not message.get("more_body", False) and not self.is_closing:
            self._complete()

    async def _send_data(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            await self.changes.until(lambda: self.is_closing or self._room > 0)
            if self.is_closing:
                return
            piece = rest[: self._room]
            rest = rest[len(piece) :]
            self._connection.h2.send_data(self._identity, bytes(piece))
            self._connection.flush()

    def _complete(self) -> None:
        self._connection.h2.end_stream(self._identity)
        if not self._is_complete:  # nobody will read the rest of the request (RFC 9113, section 8.1)
            self._connection.h2.reset_stream(self._identity, ErrorCodes.NO_ERROR)
        self.end()
        self._connection.flush()
        if self._closes_connection:
            self._connection.hang_up()

    @property
    def _room(self) -> int:
        """How many bytes may be sent now."""
        if not self._connection.is_writable:
            return 0
        h2 = self._connection.h2
        return int(min(h2.local_flow_control_window(self._identity), h2.max_outbound_frame_size))

    def _credit(self) -> None:
        """Let the client send as many more bytes as were read."""
        if self._uncredited and not self._connection.transport.is_closing():
            self._connection.h2.acknowledge_received_data(self._uncredited, self._identity)
        self._uncredited = 0
