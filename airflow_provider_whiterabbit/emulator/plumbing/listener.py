"""The TCP side: uvicorn's HTTP protocol, with the connection within the application's reach."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

TRANSPORT = "whiterabbit.transport"
"""Name of the ASGI extension that holds the `asyncio.Transport`."""

_BACKLOG = 2048


class _Protocol(H11Protocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The journal tells more, and the log belongs to whoever runs the emulator.
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the transport into the scope of every request of this connection."""
        super().connection_made(transport)
        # asyncio does this only for sockets that were made with an explicit protocol; without it an answer in two
        # pieces takes 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        app = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {TRANSPORT: transport}
            await app(scope, receive, send)

        self.app = with_transport


class _Cutter(asyncio.Protocol):
    """A connection that does not live long."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Cut it."""
        if isinstance(transport, asyncio.Transport):
            reset(transport)


class Listener:
    """Accepts connections for an ASGI application, and can stop doing so for a while.

    uvicorn's own server looks ten times a second whether it should stop; this one stops when it is told to.

    :param tls: None for plain HTTP.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.to_cut = 0
        """How many of the next connections are cut as soon as they are accepted (and the TLS handshake is done)."""
        self._tls = tls
        self._config: Config | None = None
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._address: tuple[str, int] | None = None
        self._changing = asyncio.Lock()

    def serve(self, app: Any) -> None:
        """Say which ASGI application the connections are for."""
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
        """Accept connections on a socket that is bound, and close it at the end."""
        loop = asyncio.get_running_loop()
        self._address = sock.getsockname()[:2]
        self._server = await loop.create_server(self._connect, sock=sock, backlog=_BACKLOG, ssl=self._tls)

    async def reopen(self) -> None:
        """Accept connections again on the port of before; no error if they are accepted.

        :raises OSError: if someone else has taken the port.
        """
        async with self._changing:
            if self._server is None and self._address is not None:
                await self.listen(bind(*self._address))

    async def close(self) -> None:
        """Accept no more connections. The open ones stay."""
        async with self._changing:
            if self._server is None:
                return
            for sock in self._server.sockets:
                asyncio.get_running_loop().remove_reader(sock.fileno())
            try:
                # asyncio forgets a connection that it has just accepted if the server is closed before the loop's next
                # turn: nobody would answer it, nor close it.
                await asyncio.sleep(0)
            finally:
                self._server.close()
                self._server = None

    async def hang_up(self, *, rudely: bool) -> None:
        """Close all connections, with an RST if `rudely`."""
        for connection in list(self._state.connections):
            if connection.transport.is_closing() and not connection.transport.get_write_buffer_size():
                continue  # It has got all of its answer.
            if rudely:
                reset(connection.transport)
            else:
                connection.transport.close()
        # asyncio tells a protocol that its connection is lost in the loop's next turn.
        await asyncio.sleep(0)
        # What is left waits for its client, which may never read on, or never answer the end of TLS.
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def _connect(self) -> asyncio.Protocol:
        if self.to_cut > 0:
            self.to_cut -= 1
            return _Cutter()
        return _Protocol(self._config, self._state, {})


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, on any free port if `port` is 0.

    :raises OSError: if the address can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def reset(transport: asyncio.Transport) -> None:
    """Close a TCP connection with an RST instead of a FIN. One that the client has closed meanwhile is left alone."""
    connection = transport.get_extra_info("socket")
    if connection.fileno() < 0:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
