"""Makes the TLS connection for HTTP/2, directly or through a proxy, and learns whether the server speaks HTTP/2."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast
from urllib.parse import unquote, urlsplit

from aiohappyeyeballs import start_connection

from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.http2.connection import Connection
from airflow_provider_whiterabbit.client.transport.tls_buffers import RECORD_BUFFER_BYTES, ReadBuffers

P = TypeVar("P", bound=asyncio.BaseProtocol)

_MAX_HEAD = 64 * 1024  # bytes of a proxy's answer
_NEXT_ADDRESS_AFTER = 0.25  # seconds (RFC 8305, section 8)


@dataclass(frozen=True, slots=True)
class Route:
    """How a server is reached.

    :param context: TLS context for the server, which offers HTTP/2.
    :param read_buffers: shrinks those of the connections.
    :param proxy: URL of the proxy, perhaps with a password.
    :param proxy_context: TLS context for a proxy that is reached by https.
    """

    host: str
    port: int
    context: ssl.SSLContext
    read_buffers: ReadBuffers
    proxy: str | None = field(default=None, repr=False)
    proxy_context: ssl.SSLContext | None = None


async def connect(route: Route, new: Callable[[], Connection]) -> Connection | None:
    """Return a connection, or None if the server speaks HTTP/1.1 only.

    :param new: makes the connection's protocol.
    :raises UnusableAnswerError: if the proxy refuses.
    :raises OSError: if there is no connection.
    """
    transport: asyncio.BaseTransport
    if route.proxy is None:
        transport, connection = await _connected(route.host, route.port, new, route.context)
    else:
        connection = new()
        tunnel = await _tunnel(route)
        upgraded = await asyncio.get_running_loop().start_tls(
            tunnel, connection, route.context, server_hostname=route.host
        )
        if upgraded is None:
            raise UnusableAnswerError("the proxy closed the connection")
        connection.connection_made(upgraded)
        transport = upgraded
    if connection.is_closed:
        return None
    route.read_buffers.resize(transport, RECORD_BUFFER_BYTES)
    return connection


async def _tunnel(route: Route) -> asyncio.Transport:
    """Return a transport to the server through the proxy (RFC 9110, section 9.3.6)."""
    proxy = urlsplit(cast(str, route.proxy))
    is_tls = proxy.scheme.lower() == "https"
    port = proxy.port or (443 if is_tls else 80)
    context = route.proxy_context if is_tls else None
    transport, answer = await _connected(proxy.hostname or "", port, _ProxyAnswer, context)
    try:
        host = written(route.host)
        lines = [f"CONNECT {host}:{route.port} HTTP/1.1", f"Host: {host}:{route.port}"]
        if proxy.username is not None:
            user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(user.encode()).decode()}")
        transport.write("\r\n".join([*lines, "", ""]).encode())
        await answer.accepted
    except BaseException:
        transport.abort()
        raise
    return transport


def written(host: str) -> str:
    """Return a host name or an IP address as requests have it (RFC 9110, section 7.2)."""
    return f"[{host}]" if ":" in host else host.encode("idna").decode()


async def _connected(
    host: str, port: int, new: Callable[[], P], context: ssl.SSLContext | None
) -> tuple[asyncio.Transport, P]:
    """Return a connection to the first of a host's addresses that accepts one, as aiohttp makes connections.

    asyncio's own race of addresses loses a socket if it is cancelled when the socket is connected, and uvloop has none.
    """
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    connected = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER)
    name = None if context is None else host
    return await loop.create_connection(new, sock=connected, ssl=context, server_hostname=name)


class _ProxyAnswer(asyncio.Protocol):
    """The answer of a proxy to CONNECT."""

    def __init__(self) -> None:
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        if self.accepted.done():
            return
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0 and not self.accepted.done():
            head, self._received = self._received[:end], self._received[end + 4 :]
            self._judge(head.partition(b"\r\n")[0].decode("latin-1"))
        if len(self._received) > _MAX_HEAD:
            self._refuse("the proxy's answer has no end")

    def connection_lost(self, error: Exception | None) -> None:
        self._refuse("the proxy closed the connection")

    def _judge(self, status_line: str) -> None:
        version, _, rest = status_line.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            self._refuse("the proxy's answer is not HTTP")
        elif rest.startswith("2") and not self._received:
            self.accepted.set_result(None)
        elif not rest.startswith("1"):
            self._refuse(f"the proxy answered {rest!a:.100}")

    def _refuse(self, reason: str) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(UnusableAnswerError(reason))
            self.accepted.exception()  # nobody may be waiting for it
