"""The connections of the asynchronous client over HTTP/1.1: admits, connects and signs each request, in this order."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import aiohttp

from airflow_provider_whiterabbit.client.transport.descriptors import SCARCE_TURNS, OpenStreams, is_shortage
from airflow_provider_whiterabbit.client.transport.outgoing import Outgoing
from airflow_provider_whiterabbit.client.transport.pace import Line
from airflow_provider_whiterabbit.client.transport.tls_buffers import (
    RECORD_BUFFER_BYTES,
    STREAM_BUFFER_BYTES,
    ReadBuffers,
)
from airflow_provider_whiterabbit.client.transport.tls_sessions import Sessions, note_end

KEPT_FOR = 4.0
"""Seconds for which a connection is kept for a further request: less than the 5 seconds after which Node.js closes it.

When thousands of waits have started, those over which they read their records are not needed any more."""


class Connector(aiohttp.TCPConnector):
    """Gives each request its connection at the host's pace, and notices if there is no file descriptor left for it.

    Nothing else sees all requests: aiohttp sends a request twice if a connection that was kept alive turns out dead.

    :param is_kept: whether connections are kept alive for further requests.
    """

    def __init__(
        self,
        line: Line,
        streams: OpenStreams,
        read_buffers: ReadBuffers,
        context: ssl.SSLContext,
        sessions: Sessions,
        *,
        is_kept: bool = True,
    ) -> None:
        # With a limit, the stream after the last one hangs.
        super().__init__(ssl=context, limit=0, force_close=not is_kept, keepalive_timeout=KEPT_FOR if is_kept else None)
        self.connected = False
        """Whether a connection was established (TLS included), before which nothing of a request is sent."""
        self._line = line
        self._streams = streams
        self._context = context
        self._sessions = sessions
        self._read_buffers = read_buffers
        self._outgoing: dict[asyncio.Task[Any] | None, Outgoing] = {}
        self._reusable: set[Any] = set()

    def fresh(self) -> Connector:
        """Return a connector for one request; it keeps no connection."""
        return Connector(self._line, self._streams, self._read_buffers, self._context, self._sessions, is_kept=False)

    @contextlib.contextmanager
    def sending(self, outgoing: Outgoing) -> Iterator[None]:
        """Send a request within it, without headers: `connect` adds them.

        The request can't be in a ContextVar: the callbacks of its connection would keep it as long as the connection.
        """
        task = asyncio.current_task()
        self._outgoing[task] = outgoing
        try:
            yield
        finally:
            del self._outgoing[task]

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (aiohttp's)
    ) -> aiohttp.connector.Connection:
        """Return a connection for one request, a kept one or a new one, and sign the request, which is sent next.

        aiohttp allows `sock_connect` for each address of a host; here it is the limit for all of them.

        :raises HostPausedError: if the host asked for a pause that is not over.
        :raises TimeoutError: if no connection is established within `timeout.sock_connect` seconds.
        """
        outgoing = self._outgoing[asyncio.current_task()]
        await outgoing.admit(self._line)
        try:
            with self._sessions.connecting():
                async with asyncio.timeout(timeout.sock_connect):
                    connection = await super().connect(req, traces, timeout)
                    while (protocol := connection.protocol) is not None and protocol.should_close:
                        # A kept connection on which something arrived unasked: it would pass for the next answer.
                        connection.close()
                        connection = await super().connect(req, traces, timeout)
        except OSError as error:
            if is_shortage(error):
                self._streams.make_room()
            raise
        if protocol is not None:
            self._read_buffers.resize(
                protocol.transport, STREAM_BUFFER_BYTES if outgoing.is_stream else RECORD_BUFFER_BYTES
            )
            connection.add_callback(partial(_abort_when_closed, protocol, protocol.transport))
            if not outgoing.is_stream:
                self._keep_few(protocol)
        self.connected = True
        req.headers.update(outgoing.headers())
        return connection

    def _keep_few(self, protocol: Any) -> None:
        """Close a connection after its answer if file descriptors are scarce, and enough others can be used again.

        aiohttp uses the oldest of its kept connections first, so a few requests would keep all of them alive.
        """
        if not self._streams.are_scarce:
            self._reusable.clear()
            return
        self._reusable = {each for each in self._reusable if each.is_connected()} | {protocol}
        if len(self._reusable) > SCARCE_TURNS:
            self._reusable.remove(protocol)
            protocol.force_close()


def connector_of(session: aiohttp.ClientSession) -> Connector:
    """Return the connector of one of the asynchronous client's sessions."""
    return cast(Connector, session.connector)


def _abort_when_closed(protocol: asyncio.BaseProtocol, transport: asyncio.Transport | None) -> None:
    """Free the socket at once if aiohttp closes a connection, which calls this directly before.

    Over TLS, asyncio would wait for the server's goodbye for 30 seconds, and go on reading what the server sends.
    """
    if transport is not None and transport.is_closing():
        note_end(transport)

    def abort() -> None:
        if transport is not None and getattr(protocol, "transport", None) is None:  # else the connection is kept
            transport.abort()

    asyncio.get_running_loop().call_soon(abort)
