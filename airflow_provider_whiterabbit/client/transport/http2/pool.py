"""The HTTP/2 connections of an event loop to one server, and whether HTTP/2 is used at all."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from contextvars import Context
from typing import cast
from urllib.parse import SplitResult

from hpack import HeaderTuple, NeverIndexedHeaderTuple

from airflow_provider_whiterabbit.client.transport.descriptors import OpenStreams, is_shortage
from airflow_provider_whiterabbit.client.transport.failures import TooSlowError, UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.http2.choice import Choice
from airflow_provider_whiterabbit.client.transport.http2.connection import Connection
from airflow_provider_whiterabbit.client.transport.http2.dialing import Route, connect, written
from airflow_provider_whiterabbit.client.transport.http2.multiplexer import MAX_STREAMS
from airflow_provider_whiterabbit.client.transport.http2.protocol import STREAM_WINDOW
from airflow_provider_whiterabbit.client.transport.http2.stream import (
    Http1RequiredError,
    NotProcessedError,
    ResetError,
    Stream,
)
from airflow_provider_whiterabbit.client.transport.outgoing import Outgoing
from airflow_provider_whiterabbit.client.transport.pace import Line

log = logging.getLogger(__name__)

for _name in ("hpack.hpack", "hpack.table"):
    # hpack writes each header that is sent to its debug log, and the API key is one of them.
    logging.getLogger(_name).setLevel(logging.INFO)

RECORD_WINDOW = 256 * 1024
"""Bytes of a record that the server may send before they are read. Over 50 ms, this allows 5 MB per second."""

IDLE_FOR = 15.0
"""Seconds after which a connection without streams is closed, as aiohttp does by default."""

_CONSTANT = (":method", ":scheme", ":authority", "accept", "accept-encoding", "user-agent")
_MAX_DIALS = 8
_ATTEMPTS = 3  # of a request that the server did not process


class Pool:
    """Sends requests over HTTP/2. It belongs to one event loop.

    :param url: the base URL's parts, with the scheme https.
    :param line: admits each request at the host's pace.
    :param streams: is told if there is no file descriptor left for a connection.
    :param silence: seconds within which a connection that went silent is found dead.
    """

    def __init__(self, route: Route, url: SplitResult, line: Line, streams: OpenStreams, silence: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._route = route
        self._server = url.netloc
        host = written(url.hostname or "")
        self._authority = host if url.port in (None, 443) else f"{host}:{url.port}"
        self._line = line
        self._streams = streams
        self._silence = silence
        self._connections: list[Connection] = []
        self._dials: set[asyncio.Task[None]] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._per_connection = MAX_STREAMS
        self._choice = Choice(self._server, self._loop.time)

    @property
    def is_used(self) -> bool:
        """Whether the server speaks HTTP/2, as far as is known."""
        return self._choice.is_http2

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def start(self, method: str, path: str, outgoing: Outgoing) -> Stream | None:
        """Send a request without a body, and return its answer once the head is there; None to use HTTP/1.1.

        :param outgoing: the request, with the limits `connect` for the connection, and `read` for each part of an
            answer that is not an event stream.
        :raises HostPausedError: if the host asked for a pause that is not over.
        :raises UnusableAnswerError: if there is no connection in time, or no answer.
        :raises OSError: if there is no connection.
        """
        window, silence = (STREAM_WINDOW, None) if outgoing.is_stream else (RECORD_WINDOW, outgoing.limits.read)
        for attempt in range(1, _ATTEMPTS + 1):
            connection = await self._admitted(outgoing)
            if connection is None:
                return None
            stream = None
            try:
                stream = connection.open(self._fields(method, path, outgoing.headers()), window, silence)
                await stream.head()
                self._choice.answered()
                return stream
            except Http1RequiredError as error:
                self._choice.use_http1(str(error))
                self._wake()
                return None
            except ResetError as error:
                self._count_reset(str(error))
                raise
            except NotProcessedError:
                connection.allow_no_more()
                if attempt == _ATTEMPTS:
                    self._count_reset("it refuses streams")
                    raise
            except BaseException as error:
                if isinstance(error, TooSlowError):
                    connection.count_unanswered()
                if stream is not None:
                    stream.close()
                raise
        return None

    async def close(self) -> None:
        """Close all connections, and stop making new ones."""
        dials = list(self._dials)
        for dial in dials:
            dial.cancel()
        for connection in list(self._connections):
            connection.close()
        await asyncio.gather(*dials, return_exceptions=True)

    def _fields(self, method: str, path: str, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        pseudo = {":method": method, ":scheme": "https", ":authority": self._authority, ":path": path}
        fields = [*pseudo.items(), *((name.lower(), value) for name, value in headers.items())]
        # What differs in each request, or is secret, is kept in no table of HPACK (RFC 7541, section 7.1.3).
        return [
            (HeaderTuple if name in _CONSTANT else NeverIndexedHeaderTuple)(name.encode(), value.encode("latin-1"))
            for name, value in fields
        ]

    # --- which connection

    async def _admitted(self, outgoing: Outgoing) -> Connection | None:
        """Wait until the host's pace and a connection admit one more request; return the connection."""
        within = outgoing.limits.connect
        connection = await self._with_room(within)
        if connection is None:
            return None
        await outgoing.admit(self._line)
        return connection if connection.room else await self._with_room(within)

    async def _with_room(self, within: float) -> Connection | None:
        try:
            async with asyncio.timeout(within) as timer:
                while self.is_used:
                    for connection in self._connections:
                        if connection.room:
                            return connection
                    await self._change(within)
        except TimeoutError:
            if not timer.expired():
                raise
            raise UnusableAnswerError(f"no connection within {within:g} s") from None
        return None

    async def _change(self, within: float) -> None:
        """Wait until there may be room, and see to it that enough connections are being made."""
        changed = self._loop.create_future()
        self._waiting.append(changed)
        if len(self._dials) < min(_MAX_DIALS, -(-len(self._waiting) // self._per_connection)):
            # A context of its own: by that of this wait, Airflow would write what others do into the log of its task.
            self._dials.add(asyncio.create_task(self._dial(within), context=Context()))
        try:
            await changed
        except BaseException:
            if changed in self._waiting:
                self._waiting.remove(changed)
            elif not changed.cancelled() and changed.exception() is None:
                self._wake(1)  # somebody else takes the place
            raise

    def _wake(self, count: float = float("inf"), error: Exception | None = None) -> None:
        while self._waiting and count > 0:
            changed = self._waiting.popleft()
            if not changed.done():
                count -= 1
                if error is None:
                    changed.set_result(None)
                else:
                    changed.set_exception(error)

    # --- connections that come and go

    async def _dial(self, within: float) -> None:
        connection: Connection | None = None
        failure: Exception | None = None
        try:
            async with asyncio.timeout(within):
                connection = await connect(self._route, lambda: Connection(self._silence, self._changed))
                if connection is not None:
                    await connection.ready
                    if connection.is_closed:  # in this very moment
                        raise UnusableAnswerError("the server closed the connection")
        except Exception as error:  # whatever it is: those that wait for the connection get it
            failure = error
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        finally:
            self._dials.discard(cast("asyncio.Task[None]", asyncio.current_task()))  # or who wakes would wait for it
        if failure is not None:
            self._on_failed_dial(connection, failure, within)
        elif connection is not None:
            self._on_connected(connection)
        else:
            self._choice.forget_http2()
            self._wake()

    def _on_connected(self, connection: Connection) -> None:
        self._connections.append(connection)
        log.debug("%s allows %d streams on an HTTP/2 connection", self._server, connection.limit)
        if not connection.room:
            self._choice.count_failure("it allows no stream")
            self._wake(error=UnusableAnswerError("the server allows no stream on a connection"))
        self._changed(connection)
        self._wake()

    def _on_failed_dial(self, connection: Connection | None, error: Exception, within: float) -> None:
        if isinstance(error, OSError) and is_shortage(error):
            self._streams.make_room(on_shared=True)
        if isinstance(error, TimeoutError) and not str(error):  # that of `within`, not the system's
            error = UnusableAnswerError(f"no connection within {within:g} s")
        if connection is not None:  # it offered HTTP/2, and sent no settings
            connection.close()
            self._choice.count_failure(connection.failure or str(error))
        self._wake(error=error)

    def _changed(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        if connection.is_closed:
            self._connections.remove(connection)
            if connection.failure:
                self._choice.count_failure(connection.failure)
            self._wake()  # those that wait for room make a new connection, or use HTTP/1.1
        elif connection.is_idle:
            self._loop.call_later(IDLE_FOR, self._close_if_idle, connection, connection.opened)
        if connection.room:
            self._per_connection = max(1, connection.limit)
            self._wake(connection.room)

    def _close_if_idle(self, connection: Connection, opened: int) -> None:
        if connection.is_idle and connection.opened == opened:
            connection.drain()

    def _count_reset(self, reason: str) -> None:
        self._choice.count_reset(reason)
        self._wake()  # those that wait for room may use HTTP/1.1 now
