"""The TCP listener: accepts connections for uvicorn's HTTP protocol, and can refuse, close and reset connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

TRANSPORT = "whiterabbit.transport"
"""Name of the ASGI extension that holds the connection's `asyncio.Transport`."""

_BACKLOG = 2048


class _HttpConnection(H11Protocol):
    """One HTTP connection; its transport is an ASGI extension of each of its requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The journal records more than an access log, and the log belongs to the program that runs the emulator.
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the transport into the ASGI scope of every request of this connection."""
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
    """A connection that is reset as soon as it is accepted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Reset the connection."""
        if isinstance(transport, asyncio.Transport):
            reset(transport)


class Listener:
    """Accepts connections for an ASGI application, and can stop accepting them for a while.

    uvicorn's own server checks ten times a second whether it should stop; this listener stops at once.

    :param tls: None for plain HTTP.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.connections_to_reset = 0
        """How many of the next connections are reset when they are accepted (with TLS: after the handshake)."""
        self._tls = tls
        self._config: Config | None = None
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._address: tuple[str, int] | None = None
        self._changing = asyncio.Lock()

    def serve(self, app: ASGIApp) -> None:
        """Set the ASGI application that gets the requests of all connections."""
        self._config = Config(
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
        self._config.load()

    async def listen(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket. `close` closes the socket."""
        loop = asyncio.get_running_loop()
        self._address = sock.getsockname()[:2]
        self._server = await loop.create_server(self._new_connection, sock=sock, backlog=_BACKLOG, ssl=self._tls)

    async def reopen(self) -> None:
        """Accept connections again on the same port. Nothing happens if connections are accepted already.

        :raises OSError: if another program has taken the port.
        """
        async with self._changing:
            if self._server is None and self._address is not None:
                await self.listen(bind(*self._address))

    async def close(self) -> None:
        """Stop accepting connections. Open connections stay open."""
        async with self._changing:
            if self._server is None:
                return
            for sock in self._server.sockets:
                asyncio.get_running_loop().remove_reader(sock.fileno())
            try:
                # If a connection was just accepted and the server is closed before the loop's next iteration, asyncio
                # forgets the connection: nothing would ever answer or close it.
                await asyncio.sleep(0)
            finally:
                self._server.close()
                self._server = None

    async def close_connections(self, *, with_reset: bool) -> None:
        """Close all open connections.

        :param with_reset: close with an RST instead of a FIN.
        """
        for connection in list(self._state.connections):
            if connection.transport.is_closing() and not connection.transport.get_write_buffer_size():
                continue  # The client has received its whole response.
            if with_reset:
                reset(connection.transport)
            else:
                connection.transport.close()
        # asyncio calls a protocol's connection_lost in the loop's next iteration.
        await asyncio.sleep(0)
        # A connection that is still open waits for its client, which may never read on or never end the TLS session.
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def _new_connection(self) -> asyncio.Protocol:
        if self.connections_to_reset > 0:
            self.connections_to_reset -= 1
            return _ResetConnection()
        return _HttpConnection(self._config, self._state, {})


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address.

    :param port: 0 for any free port.
    :raises OSError: if the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def reset(transport: asyncio.Transport) -> None:
    """Close a TCP connection with an RST instead of a FIN. Nothing happens if the client has closed it already."""
    sock = transport.get_extra_info("socket")
    if sock.fileno() < 0:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
