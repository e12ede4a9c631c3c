"""HTTP/2: passes bytes between a TLS connection and h2, and runs an ASGI application for each request.

h2 frames, compresses headers and keeps the rules of RFC 9113. This module and `http2_stream` add what h2 leaves to its
user: an asyncio task for each request, and flow control (an answer waits until the client admits more bytes).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
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
from starlette.types import ASGIApp, Scope

from airflow_provider_whiterabbit.emulator.plumbing.channels import CHANNEL, send_at_once
from airflow_provider_whiterabbit.emulator.plumbing.http2_stream import Http2Stream

log = logging.getLogger(__name__)


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
