"""A server that speaks HTTP/2 as a test or a proof tells it, over TLS, in the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    PingReceived,
    RequestReceived,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

JSON_HEAD = {":status": "200", "content-type": "application/json"}
STREAM_HEAD = {":status": "200", "content-type": "text/event-stream"}

Answering = Callable[["Peer", int, dict[str, str]], Any]
"""Is called with each request: the connection, the stream's id and the headers."""


class Peer(asyncio.Protocol):
    """The server's side of one connection. What a method sends is written at once."""

    transport: Any
    alpn: str | None

    def __init__(self, server: Http2Server) -> None:
        self.server = server
        self.requests: dict[int, dict[str, str]] = {}
        self.resets: list[tuple[int, int]] = []
        self.go_aways: list[int] = []
        self.pings = 0
        self.is_closed = asyncio.Event()
        self.bodies: dict[int, tuple[bytes, bool]] = {}
        self.sent: dict[int, int] = {}
        self.is_deaf = False
        """Whether it ignores what the client sends."""
        self.is_mute = False
        """Whether it sends nothing more, but what `raw` sends."""
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))

    @property
    def is_open(self) -> bool:
        """Whether something may be sent. asyncio's TLS transports may call themselves open after the end."""
        return not self.transport.is_closing() and not self.is_closed.is_set()

    def connection_made(self, transport: Any) -> None:
        """Greet the client."""
        self.transport = transport
        self.alpn = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        self.server.peers.append(self)
        if self.alpn != "h2":
            return
        for code, value in self.server.settings.items():
            self.h2.local_settings[code] = value
            self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        if not self.server.greets:
            self.is_mute = True
        self.server.greeting(self)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Answer requests."""
        if self.alpn != "h2":
            self.server.http1(self, data)
            return
        if self.is_deaf:
            return
        with contextlib.suppress(ProtocolError):  # it may come after what ended the connection
            for event in self.h2.receive_data(data):
                self.take(event)
            self.flush()

    def take(self, event: Any) -> None:
        """Take an event of h2."""
        if isinstance(event, RequestReceived):
            self.requests[event.stream_id] = headers = dict(cast(Any, event.headers))
            self.server.requests.append((self, event.stream_id, headers))
            self.server.answer(self, event.stream_id, headers)
        elif isinstance(event, StreamReset):
            self.resets.append((event.stream_id, event.error_code))
            self.bodies.pop(event.stream_id, None)
        elif isinstance(event, ConnectionTerminated):
            self.go_aways.append(int(event.error_code or 0))
        elif isinstance(event, PingReceived):
            self.pings += 1
        elif isinstance(event, WindowUpdated):
            for stream_id in list(self.bodies):
                self.pump(stream_id)

    def connection_lost(self, _: Exception | None) -> None:
        """Take note of the end of the connection."""
        self.is_closed.set()

    def head(self, stream_id: int, head: dict[str, str], *, end: bool = False) -> None:
        """Send the head of an answer, or trailers."""
        self.h2.send_headers(stream_id, list(head.items()), end_stream=end)
        self.flush()

    def body(self, stream_id: int, data: bytes, *, end: bool = True) -> None:
        """Send a body as fast as the client allows."""
        self.bodies[stream_id] = (data, end)
        self.pump(stream_id)

    def event(self, stream_id: int, data: str = '{"status": "EXECUTING"}') -> None:
        """Send an event of a stream."""
        self.body(stream_id, f"data: {data}\n\n".encode(), end=False)

    def pump(self, stream_id: int) -> None:
        """Send as much of a body as the client allows now."""
        data, end = self.bodies[stream_id]
        at = 0
        while room := min(
            self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size, len(data) - at
        ):
            self.h2.send_data(stream_id, data[at : at + room])
            at += room
        self.sent[stream_id] = self.sent.get(stream_id, 0) + at
        self.bodies[stream_id] = (data[at:], end)
        if at == len(data):
            del self.bodies[stream_id]
            if end:
                self.h2.end_stream(stream_id)
        self.flush()

    def reset(self, stream_id: int, code: int) -> None:
        """Send RST_STREAM."""
        self.h2.reset_stream(stream_id, code)
        self.flush()

    def change(self, settings: dict[SettingCodes | int, int]) -> None:
        """Send SETTINGS."""
        self.h2.update_settings(settings)
        self.flush()

    def raw(self, kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"", times: int = 1) -> None:
        """Send frames that h2 would not send, or after which it would send nothing more."""
        frame = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload
        self.transport.write(frame * times)

    def go_away(self, last_stream_id: int, code: int = 0) -> None:
        """Send GOAWAY, and go on."""
        self.raw(7, payload=last_stream_id.to_bytes(4, "big") + code.to_bytes(4, "big"))

    def flush(self) -> None:
        """Send the frames that h2 has queued."""
        if self.is_open and not self.is_mute:
            self.transport.write(self.h2.data_to_send())


class Http2Server:
    """All connections of a server, and how it answers.

    `settings` is what differs from h2's settings.

    :param answer: how; by default each record is a running execution, and each stream opens and is silent.
    """

    def __init__(self, answer: Answering | None = None) -> None:
        self.answer = answer or running
        self.settings: dict[SettingCodes, int] = {}
        self.greets = True
        """Whether it sends its settings, as each server must."""
        self.greeting: Callable[[Peer], Any] = lambda _: None
        """Is called with each connection of HTTP/2, before anything is sent."""
        self.peers: list[Peer] = []
        self.requests: list[tuple[Peer, int, dict[str, str]]] = []
        self.http1: Callable[[Peer, bytes], Any] = http1
        """Is called with each piece of data of a connection of HTTP/1.1."""
        self.url = ""
        self.ca_bundle = ""

    @property
    def open_peers(self) -> list[Peer]:
        """The connections that are open."""
        return [peer for peer in self.peers if not peer.is_closed.is_set()]


def running(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
    """Answer with a running execution: a record, or a stream that is open."""
    if headers["accept"] == "text/event-stream":
        peer.head(stream_id, STREAM_HEAD)
    else:
        identity = headers[":path"].rpartition("/")[2]
        peer.head(stream_id, JSON_HEAD)
        peer.body(stream_id, b'{"id": "%s", "status": "EXECUTING", "module": "PAY"}' % identity.encode())


def http1(peer: Peer, data: bytes) -> None:
    """Answer a whole request by HTTP/1.1."""
    body = b'{"id": "e-1", "by": "HTTP/1.1"}'
    peer.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    peer.transport.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


@contextlib.asynccontextmanager
async def http2_server(
    folder: Path,
    answer: Answering | None = None,
    alpn: tuple[str, ...] = ("h2", "http/1.1"),
    client_authority: trustme.CA | None = None,
) -> AsyncIterator[Http2Server]:
    """Run a server whose certificate is signed by the authority in `ca_bundle`.

    :param client_authority: the authority of the client certificates that it asks for.
    """
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "whiterabbit.test").configure_cert(context)
    if client_authority is not None:
        client_authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    if alpn:
        context.set_alpn_protocols(list(alpn))
    made = Http2Server(answer)
    made.ca_bundle = str(folder / f"ca-{id(made)}.pem")
    authority.cert_pem.write_to_path(made.ca_bundle)
    listening = await asyncio.get_running_loop().create_server(lambda: Peer(made), "127.0.0.1", 0, ssl=context)
    made.url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        listening.close()
        for peer in made.peers:
            peer.transport.abort()
