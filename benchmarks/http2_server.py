"""The server of `benchmarks.server` over HTTP/2: a connection for which `benchmarks.tls_server` has chosen it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamReset
from h2.settings import SettingCodes

from benchmarks.server import PING
from benchmarks.world import World

MAX_STREAMS = 128
"""How many streams a connection may have at once: the default of nginx."""


class Http2Connection(asyncio.Protocol):
    """A client's connection over HTTP/2."""

    def __init__(self, world: World, transport: asyncio.Transport) -> None:
        self._world = world
        self.transport = transport
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._replies: dict[int, _Reply] = {}
        self.h2.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = MAX_STREAMS
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        """Stop sending pings to the streams of a closed connection."""
        for reply in self._replies.values():
            self._world.forget(reply)

    def data_received(self, data: bytes) -> None:
        """Answer each request that has arrived completely."""
        for event in self.h2.receive_data(data):
            if isinstance(event, RequestReceived):
                reply = _Reply(self, event.stream_id)
                self._world.answer(dict(cast(Any, event.headers))[":path"], reply)
                if reply.execution_id:
                    self._replies[event.stream_id] = reply
            elif isinstance(event, StreamReset) and (closed := self._replies.pop(event.stream_id, None)):
                self._world.forget(closed)
        self.flush()

    def flush(self) -> None:
        """Send what there is."""
        if data := self.h2.data_to_send():
            self.transport.write(data)

    def forget(self, stream_id: int, reply: _Reply) -> None:
        """Stop sending pings to a stream that has ended."""
        self._replies.pop(stream_id, None)
        self._world.forget(reply)


class _Reply:
    """The answer to one request; bodies have to fit into the window of a stream."""

    def __init__(self, connection: Http2Connection, stream_id: int) -> None:
        self._connection = connection
        self._stream_id = stream_id
        # Written as it is: h2 would take longer for a ping than everything else together.
        self._ping = len(PING).to_bytes(3, "big") + b"\0\0" + stream_id.to_bytes(4, "big") + PING
        self.execution_id = ""
        self.slot = 0

    def send(self, status: int, body: bytes) -> None:
        """Send a whole answer."""
        self._head(str(status), "application/json")
        self._connection.h2.send_data(self._stream_id, body, end_stream=True)
        self._connection.flush()

    def open_stream(self) -> None:
        """Send the head of an event stream."""
        self._head("200", "text/event-stream")
        self._connection.flush()

    def ping(self) -> None:
        """Send a ping of the event stream."""
        self._connection.transport.write(self._ping)

    def end(self, event: bytes) -> None:
        """Send the last event of the event stream, and end the stream."""
        self._connection.h2.send_data(self._stream_id, b"data: " + event + b"\n\n", end_stream=True)
        self._connection.flush()
        self._connection.forget(self._stream_id, self)

    def abort(self) -> None:
        """Abort the connection, with all its streams."""
        self._connection.transport.abort()

    def _head(self, status: str, content_type: str) -> None:
        self._connection.h2.send_headers(self._stream_id, [(":status", status), ("content-type", content_type)])
