"""The emulator's TCP listener: accepts, refuses, closes and resets connections, which use uvicorn's HTTP protocol."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

TRANSPORT = "whiterabbit.transport"
"""Key under which the ``extensions`` of an ASGI scope hold the `asyncio.Transport` of the request's connection."""

_LISTENER_BACKLOG = 2048


class _HttpConnection(H11Protocol):
    """One HTTP connection; the ASGI scope of each of its requests holds the connection's `asyncio.Transport`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The journal records more than an access log, and the log belongs to the program that runs the emulator.
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the connection's transport into the ASGI scope of every request on the connection."""
        super().connection_made(transport)
        # asyncio sets TCP_NODELAY only for sockets that were made with an explicit protocol. Without it, a response in
        # two pieces takes 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        app = self.app

        async def app_with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {TRANSPORT: transport}
            await app(scope, receive, send)

        self.app = app_with_transport


class _ResetConnection(asyncio.Protocol):
    """A TCP connection that the emulator resets as soon as the connection is accepted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Reset the TCP connection."""
        if isinstance(transport, asyncio.Transport):
            reset(transport)


class Listener:
    """Accepts TCP connections for an ASGI application, and can stop accepting connections for a while.

    uvicorn's own server checks ten times a second whether it should stop; this listener stops at once.

    :param tls: None for plain HTTP.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.connections_to_reset = 0
        """How many of the next TCP connections are reset when they are accepted (with TLS: after the handshake)."""
        self._listener_tls = tls
        self._http_config: Config | None = None
        self._connection_state = ServerState()
        self._open_listener: asyncio.Server | None = None
        self._listener_address: tuple[str, int] | None = None
        self._listener_changing = asyncio.Lock()

    def serve(self, app: ASGIApp) -> None:
        """Set the ASGI application that processes the requests of all connections."""
        self._http_config = Config(
            app,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
        )
        self._http_config.load()

    async def listen(self, sock: socket.socket) -> None:
        """Accept TCP connections on a bound socket, until the method `close` closes the socket."""
        loop = asyncio.get_running_loop()
        self._listener_address = sock.getsockname()[:2]
        self._open_listener = await loop.create_server(
            self._new_connection, sock=sock, backlog=_LISTENER_BACKLOG, ssl=self._listener_tls
        )

    async def reopen(self) -> None:
        """Accept TCP connections again after `close`, on the same port. Nothing happens if the listener is open.

        :raises OSError: if another program has taken the port.
        """
        async with self._listener_changing:
            if self._open_listener is None and self._listener_address is not None:
                await self.listen(bind(*self._listener_address))

    async def close(self) -> None:
        """Stop accepting new TCP connections. Connections that are already open stay open."""
        async with self._listener_changing:
            if self._open_listener is None:
                return
            for listener_socket in self._open_listener.sockets:
                asyncio.get_running_loop().remove_reader(listener_socket.fileno())
            try:
                # If a connection was just accepted and the server is closed before the loop's next iteration, asyncio
                # forgets the connection: nothing would ever answer or close it.
                await asyncio.sleep(0)
            finally:
                self._open_listener.close()
                self._open_listener = None

    async def close_connections(self, *, with_reset: bool) -> None:
        """Close all open TCP connections.

        :param with_reset: close with an RST instead of a FIN.
        """
        for connection in list(self._connection_state.connections):
            if connection.transport.is_closing() and not connection.transport.get_write_buffer_size():
                continue  # The client has received its whole response.
            if with_reset:
                reset(connection.transport)
            else:
                connection.transport.close()
        # asyncio calls a protocol's connection_lost in the loop's next iteration.
        await asyncio.sleep(0)
        # A connection that is still open waits for its client, which may never read on or never end the TLS session.
        for connection in list(self._connection_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def forget_connections(self) -> None:
        """In a forked process, replace the copies of all open sockets by ``/dev/null``.

        The file descriptors stay open, because objects that the fork copied will close their numbers.
        """
        sockets = [] if self._open_listener is None else list(self._open_listener.sockets)
        sockets += [connection.transport.get_extra_info("socket") for connection in self._connection_state.connections]
        nothing = os.open(os.devnull, os.O_RDWR)
        for open_socket in sockets:
            if open_socket.fileno() >= 0:
                os.dup2(nothing, open_socket.fileno(), inheritable=False)
        os.close(nothing)

    def _new_connection(self) -> asyncio.Protocol:
        if self.connections_to_reset > 0:
            self.connections_to_reset -= 1
            return _ResetConnection()
        return _HttpConnection(self._http_config, self._connection_state, {})


def bind(host: str, port: int) -> socket.socket:
    """Return a TCP socket that is bound to a host and a port.

    :param port: 0 for any free port.
    :raises OSError: if the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_LISTENER_BACKLOG)


def reset(transport: asyncio.Transport) -> None:
    """Close a TCP connection with an RST instead of a FIN. Nothing happens if the connection is closed already."""
    connection_socket = transport.get_extra_info("socket")
    if connection_socket.fileno() < 0:
        return
    connection_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
