"""HTTP/2: passes bytes between a TLS connection and h2, and requests and answers between h2 and an ASGI application.

h2 frames, compresses headers and keeps the rules of RFC 9113. This module adds what h2 leaves to its user: an asyncio
task for each request, and flow control (an answer waits until the client admits more bytes).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from starlette.types import ASGIApp, Message, Scope

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.channels import CHANNEL, send_at_once

log = logging.getLogger(__name__)

_OF_HTTP1 = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Headers that an answer of HTTP/2 must not have (RFC 9113, section 8.2.2)."""


class Http2Connection(asyncio.Protocol):
    """A TLS connection whose client has chosen HTTP/2.

    :param app: processes the request of each stream.
    :param connections: all open connections; this connection adds and removes itself.
    """

    transport: asyncio.Transport

    def __init__(self, app: ASGIApp, connections: set[Any]) -> None:
        self._app = app
        self._connections = connections
        self._streams: dict[int, Http2Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_writable = True
        """Whether the client takes the bytes that were sent."""
        # Simulated faults send answers that a server without faults would not send.
        self.h2 = H2Connection(
            H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False)
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Send the server's settings."""
        self.transport = transport
        send_at_once(transport)
        self._connections.add(self)
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, _error: Exception | None) -> None:
        """End all streams."""
        self._connections.discard(self)
        for stream in list(self._streams.values()):
            stream.end()

    def data_received(self, data: bytes) -> None:
        """Process frames of the client."""
        if self.transport.is_closing():
            return
        try:
            for event in self.h2.receive_data(data):
                self._take(event)
        except ProtocolError:  # h2 has queued a GOAWAY with the reason
            self.flush()
            self.transport.close()
        self.flush()

    def pause_writing(self) -> None:
        """Send no more bytes of bodies."""
        self.is_writable = False

    def resume_writing(self) -> None:
        """Send more bytes of bodies."""
        self.is_writable = True
        self._notify()

    def hang_up(self) -> None:
        """Send GOAWAY, and close the connection with a FIN."""
        if not self.transport.is_closing():
            self.h2.close_connection()
            self.flush()
            self.transport.close()
            self._notify()

    def flush(self) -> None:
        """Send the frames that h2 has queued."""
        if not self.transport.is_closing():
            self.transport.write(self.h2.data_to_send())

    def forget(self, identity: int) -> None:
        """Forget a stream that has ended."""
        self._streams.pop(identity, None)

    def _take(self, event: Any) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, RequestReceived):
            self._start(event.stream_id, dict(event.headers), event.headers)
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            self._notify()
        elif isinstance(event, ConnectionTerminated):
            self.transport.close()
        elif isinstance(event, DataReceived) and stream is None:
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif stream is None:
            return
        elif isinstance(event, DataReceived):
            stream.take(event.data, event.flow_controlled_length)
        elif isinstance(event, StreamEnded):
            stream.take_end()
        elif isinstance(event, StreamReset):
            stream.end()

    def _start(self, identity: int, fields: dict[bytes, bytes], headers: list[tuple[bytes, bytes]]) -> None:
        stream = self._streams[identity] = Http2Stream(self, identity, is_head=fields[b":method"] == b"HEAD")
        raw_path, _, query = fields.get(b":path", b"").partition(b"?")
        authority = [(b"host", fields[b":authority"])] if b":authority" in fields and b"host" not in fields else []
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "2",
            "server": self.transport.get_extra_info("sockname")[:2],
            "client": self.transport.get_extra_info("peername")[:2],
            "scheme": "https",
            "root_path": "",
            "method": fields[b":method"].decode("latin-1"),
            "path": unquote(raw_path.decode("latin-1")),
            "raw_path": raw_path,
            "query_string": query,
            "headers": authority + [(name, value) for name, value in headers if not name.startswith(b":")],
            "extensions": {CHANNEL: stream},
        }
        task = asyncio.create_task(self._run(stream, scope))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, stream: Http2Stream, scope: Scope) -> None:
        try:
            await self._app(scope, stream.receive, stream.send)
        except Exception:
            log.exception("The emulator failed to answer %s %s", scope["method"], scope["path"])
        finally:
            stream.reset()  # nothing happens if the answer is complete

    def _notify(self) -> None:
        for stream in list(self._streams.values()):
            stream.changes.notify()


class Http2Stream:
    """One request and its answer: the ASGI application's `receive` and `send`, and the request's `Channel`.

    :param is_head: whether the answer has no body.
    """

    def __init__(self, connection: Http2Connection, identity: int, *, is_head: bool) -> None:
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
