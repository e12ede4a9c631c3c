"""One exchange of the asynchronous client: a request, and its answer or its event stream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import aiohttp

from airflow_provider_whiterabbit.client.transport.aio_connector import Connector, connector_of
from airflow_provider_whiterabbit.client.transport.aio_io import (
    Answer,
    end_with_connection,
    read_whole,
    transport_errors,
)
from airflow_provider_whiterabbit.client.transport.aio_sending import SendingClient
from airflow_provider_whiterabbit.client.transport.aio_stream import EventStream
from airflow_provider_whiterabbit.client.transport.exchange import (
    EVENT_STREAM,
    JSON,
    Limits,
    lower_case,
)
from airflow_provider_whiterabbit.client.transport.outgoing import Outgoing
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.transport.sharing import SharedSession
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitTransportError,
)

log = logging.getLogger(__name__)


class ExchangingClient(SendingClient):
    """Base class of the asynchronous client. For the parameters, see `AsyncClient`."""

    __slots__ = ("_session", "_shared")

    _session: aiohttp.ClientSession
    _shared: SharedSession

    async def _open_once(
        self, request: Request, max_event_bytes: int, attempts: Iterator[int], limits: Limits
    ) -> EventStream:
        with RequestLog(request, next(attempts)) as entry:
            outgoing = Outgoing(partial(self._headers, request, EVENT_STREAM), limits, entry, is_stream=True)
            async with transport_errors(self, request, outgoing):
                answer = await self._start(self._session, request, outgoing)
                try:
                    head = Response(answer.status, lower_case(answer.headers), b"", time.time())
                    if head.status != 200:
                        head = await read_whole(answer, self.settings.max_answer_bytes, entry)
                    self._check_stream(request, head)
                    stream = EventStream(answer, max_event_bytes, entry, self.hiding)
                except BaseException:
                    answer.close()
                    raise
            entry.stream_opened(head.headers)
            return stream

    async def _exchange(
        self, request: Request, wanted: tuple[str, ...], max_bytes: int, attempts: Iterator[int], limits: Limits
    ) -> Any:
        async with contextlib.AsyncExitStack() as stack:
            session = self._session
            if not request.idempotent:
                # A connection that was kept alive may be dead. On a fresh one it is known whether anything was sent.
                session = await self._shared.isolated()
                stack.enter_context(self._knowing_if_sent(request, connector_of(session)))
                await stack.enter_async_context(session)
            entry = stack.enter_context(RequestLog(request, next(attempts)))
            outgoing = Outgoing(partial(self._headers, request, JSON), limits, entry, is_stream=False)
            async with transport_errors(self, request, outgoing):
                answer = await self._start(session, request, outgoing)
                try:
                    response = await read_whole(answer, max_bytes, entry, wanted)
                finally:
                    answer.release()  # its connection can be used again if the answer was read to its end
        return self._data_of(request, response)

    async def _start(self, session: aiohttp.ClientSession, request: Request, outgoing: Outgoing) -> Answer:
        http2 = self._shared.http2
        # Nothing but a GET: over HTTP/2, a request shares a connection, and has no first byte of its own to count from.
        if http2 is not None and http2.is_used and request.method == "GET":
            stream = await http2.start(request.method, request.path, outgoing)
            if stream is not None:
                return stream
        with connector_of(session).sending(outgoing):
            answer = await session.request(
                request.method,
                self._url(request),
                data=request.body,
                proxy=self._proxy,
                allow_redirects=False,  # a redirect would carry the API key to another host
                auto_decompress=False,  # `BodyDecoder` and `EventStream` decompress, within bounds
                # The read limit holds for plain answers. The follower judges the silence of a stream.
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=outgoing.limits.connect,
                    sock_read=None if outgoing.is_stream else outgoing.limits.read,
                ),
            )
        end_with_connection(answer)
        return answer

    @contextlib.contextmanager
    def _knowing_if_sent(self, request: Request, connector: Connector) -> Iterator[None]:
        """Send a request that must not be sent twice within it; note in its error whether anything was sent."""
        try:
            yield
        except WhiteRabbitTransportError as error:
            error.sent = connector.connected
            raise
        except asyncio.CancelledError:
            if connector.connected:
                log.warning(
                    "%s %s was cancelled before its answer came: White Rabbit may have received it",
                    request.method,
                    request.path,
                )
            raise
