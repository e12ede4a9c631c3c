"""The emulator's TCP listener: accepts, refuses, closes and resets connections, of uvicorn or of `Http2Connection`."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from airflow_provider_whiterabbit.emulator.plumbing.channels import CHANNEL, TcpChannel, reset, send_at_once

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.emulator.plumbing.http2 import Http2Connection

ALPN = "h2"
"""The name of HTTP/2 in the handshake of TLS."""

_LISTENER_BACKLOG = 2048


class _HttpConnection(H11Protocol):
    """One connection of HTTP/1.1; the ASGI scope of each of its requests holds the connection's `TcpChannel`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The journal records more than an access log, and the log belongs to the program that runs the emulator.
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the connection's channel into the ASGI scope of every request on the connection."""
        super().connection_made(transport)
        send_at_once(transport)
        app, channel = self.app, TcpChannel(transport)

        async def app_with_channel(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {CHANNEL: channel}
            await app(scope, receive, send)

        self.app = app_with_channel

    def hang_up(self) -> None:
        """Close the connection with a FIN."""
        self.transport.close()


class _ResetConnection(asyncio.Protocol):
    """A TCP connection that the emulator resets as soon as the connection is accepted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Reset the TCP connection."""
        if isinstance(transport, asyncio.Transport):
            reset(transport)


class _ChosenConnection(asyncio.Protocol):
    """A TLS connection that becomes one of HTTP/2 if its handshake has chosen HTTP/2 (ALPN), else one of HTTP/1.1."""

    def __init__(self, new_http1: Callable[[], asyncio.Protocol], new_http2: Callable[[], asyncio.Protocol]) -> None:
        self._new_http1, self._new_http2 = new_http1, new_http2

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hand the connection over."""
        is_http2 = transport.get_extra_info("ssl_object").selected_alpn_protocol() == ALPN
        protocol = self._new_http2() if is_http2 else self._new_http1()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


class Listener:
    """Accepts TCP connections for an ASGI application, and can stop accepting connections for a while.

    uvicorn's own server checks ten times a second whether it should stop; this listener stops at once.

    :param tls: None for plain HTTP.
    :param http2: whether TLS connections may choose HTTP/2.
    :raises ModuleNotFoundError: if `http2` is set, and the extra ``http2`` is not installed.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, http2: bool = False) -> None:
        self.connections_to_reset = 0
        """How many of the next TCP connections are reset when they are accepted (with TLS: after the handshake)."""
        self._listener_tls = tls
        self._connection_state = ServerState()
        self._new_http2: Callable[[], asyncio.Protocol] | None = None
        if tls is not None and http2:
            tls.set_alpn_protocols([ALPN, "http/1.1"])
            http2_connection = _http2_connection()
            self._new_http2 = lambda: http2_connection(self._app, self._connection_state.connections)
        self._http_config: Config | None = None
        self._open_listener: asyncio.Server | None = None
        self._listener_address: tuple[str, int] | None = None
        self._listener_changing = asyncio.Lock()

    def serve(self, app: ASGIApp) -> None:
        """Set the ASGI application that processes the requests of all connections."""
        self._app = app
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
        connections: list[Any] = list(self._connection_state.connections)  # uvicorn's types know none of ours
        for connection in connections:
            if connection.transport.is_closing() and not connection.transport.get_write_buffer_size():
                continue  # The client has received its whole response.
            if with_reset:
                reset(connection.transport)
            else:
                connection.hang_up()
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
        return self._new_http1() if self._new_http2 is None else _ChosenConnection(self._new_http1, self._new_http2)

    def _new_http1(self) -> _HttpConnection:
        return _HttpConnection(self._http_config, self._connection_state, {})


def bind(host: str, port: int) -> socket.socket:
    """Return a TCP socket that is bound to a host and a port.

    :param port: 0 for any free port.
    :raises OSError: if the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_LISTENER_BACKLOG)


def _http2_connection() -> type[Http2Connection]:
    try:
        from airflow_provider_whiterabbit.emulator.plumbing.http2 import Http2Connection
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"The emulator's HTTP/2 needs {error.name}: pip install 'airflow-provider-whiterabbit[emulator,http2]'",
            name=error.name,
        ) from error
    return Http2Connection
