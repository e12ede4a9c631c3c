"""Moves requests over aiohttp: in triggers, where nothing may block. It, `sessions` and `stream` alone import it.

It reads and follows, and cannot submit: a trigger may run twice at once, after a triggerer was believed dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from functools import partial
from typing import Any, Self, TypeVar, cast

import aiohttp

from airflow_provider_whiterabbit.client.transport import exchange as base
from airflow_provider_whiterabbit.client.transport.aio_io import AT_ONCE, SharedSession, Stream, join, leave
from airflow_provider_whiterabbit.client.wait.commands import Close, Command, Get, Open, Read, Sleep
from airflow_provider_whiterabbit.client.wire import answers
from airflow_provider_whiterabbit.client.wire.json_in import peek
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitAuthenticationError,
    WhiteRabbitError,
    WhiteRabbitInputError,
    WhiteRabbitTransportError,
)

T = TypeVar("T")

LARGE = 256 * 1024
"""Bytes from which on an answer is not read to its end where its first members are all that is wanted."""


class AsyncClient(base.ClientBase):
    """An asynchronous client, used in an ``async with``. All clients of one event loop share one session."""

    __slots__ = ("_session", "_shared")

    _session: aiohttp.ClientSession
    _shared: SharedSession

    async def __aenter__(self) -> Self:
        self._shared = join(self.settings)
        try:
            self._session = await self._shared.opened()
        except BaseException:
            await leave(self._shared)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await leave(self._shared)

    async def send(
        self,
        request: Request,
        within: float = float("inf"),
        wanted: tuple[str, ...] = (),
        most: int = base.MAX_RESPONSE_BYTES,
    ) -> Any:
        """Send a request once (twice where our clock was wrong the first time) and return the JSON of its answer.

        :param within: seconds that it may take in all, the wait for its turn included.
        :param wanted: the only members that are needed; the rest of a large answer is not read.
        :param most: bytes that the answer may have.
        :raises WhiteRabbitInputError: if the request is one that must not be sent twice.
        :raises WhiteRabbitResponseError: if the server refuses.
        :raises WhiteRabbitTransportError: if no usable answer arrives.
        """
        if not request.idempotent:
            raise WhiteRabbitInputError(f"{request.method} {request.path} belongs into a worker, not into a trigger")
        async with self._turn(request, within) as left:
            return await self._by_the_right_clock(partial(self._exchange, request, wanted, most), request, left)

    async def run(self, steps: Generator[Command, Any, T]) -> T:
        """Carry out the commands of `follow` and return what it found."""
        stream: Stream | None = None
        answer: Any = None
        failure: WhiteRabbitError | None = None
        try:
            while True:
                command = steps.throw(failure) if failure else steps.send(answer)
                answer = failure = None
                try:
                    match command:
                        case Read(silence, within, quiet) if stream:
                            answer = await stream.read(silence, within, quiet)
                        case Open(request, within):
                            stream = await self._open(request, within)
                        case Close() if stream:
                            stream.close()
                        case Get(request, within, wanted):
                            answer = await self.send(request, within, wanted)
                        case Sleep(seconds):
                            await asyncio.sleep(seconds)
                except WhiteRabbitError as error:
                    failure = error
        except StopIteration as end:
            return cast(T, end.value)
        finally:
            if stream:
                stream.close()

    async def _open(self, request: Request, within: float) -> Stream:
        async with self._turn(request, within) as left:
            return await self._by_the_right_clock(partial(self._open_once, request), request, left)

    @contextlib.asynccontextmanager
    async def _turn(self, request: Request, within: float) -> AsyncIterator[float]:
        """Wait until the request may be sent; yield the seconds that are left for it."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(within):
                await self._shared.turns.acquire()
        except TimeoutError:
            raise WhiteRabbitTransportError(
                f"{request.method} {request.path}: {AT_ONCE} other requests had no answer in {within:g} s",
            ) from None
        try:
            yield within - (time.monotonic() - started)
        finally:
            self._shared.turns.release()

    async def _open_once(self, request: Request, limits: base.Limits) -> Stream:
        async with _transport_errors(request, limits.read):
            answer = await self._start(request, limits, base.EVENT_STREAM)
            try:
                head = Response(answer.status, base.lower_case(answer.headers), b"", time.time())
                if head.status != 200:
                    head = await _whole(answer)
                base.check_stream(request, head)
            except BaseException:
                answer.close()
                raise
            return Stream(answer)

    async def _exchange(self, request: Request, wanted: tuple[str, ...], most: int, limits: base.Limits) -> Any:
        async with _transport_errors(request, limits.total):
            answer = await self._start(request, limits, "application/json")
            try:
                head = await _upto(answer, LARGE)
                if wanted and len(head) > LARGE and answer.status == 200 and (found := peek(head, wanted)):
                    return found
                response = await _whole(answer, head, most)
            finally:
                answer.release()  # back into the pool if it was read to its end
        return answers.data_of(request, response)

    async def _start(self, request: Request, limits: base.Limits, accept: str) -> aiohttp.ClientResponse:
        return await self._session.request(
            request.method,
            self._url(request),
            data=request.body,
            headers=self._headers(request, accept),
            proxy=self._proxy,
            allow_redirects=False,  # it would carry the key to another host
            # The read limit holds for plain answers; a stream's silence is judged by whoever follows it.
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=limits.connect,
                sock_read=None if accept == base.EVENT_STREAM else limits.read,
            ),
        )

    async def _by_the_right_clock(
        self, exchange: Callable[[base.Limits], Awaitable[T]], request: Request, within: float
    ) -> T:
        ends = time.monotonic() + within
        try:
            return await exchange(self._limits(request, within))
        except WhiteRabbitAuthenticationError as error:
            if not self._corrected_clock(error):
                raise
        return await exchange(self._limits(request, ends - time.monotonic()))


@contextlib.asynccontextmanager
async def _transport_errors(request: Request, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except aiohttp.ServerTimeoutError as error:  # a TimeoutError too, but that of one silence
        raise WhiteRabbitTransportError(f"{request.method} {request.path}: {base.root_cause(error)}") from None
    except TimeoutError:
        raise WhiteRabbitTransportError(f"{request.method} {request.path}: no answer in {seconds:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise WhiteRabbitTransportError(f"{request.method} {request.path}: {base.root_cause(error)}") from None


async def _upto(answer: aiohttp.ClientResponse, size: int) -> bytes:
    """Read the beginning of a body: somewhat more than `size` bytes, or all of it where there are no more."""
    body = bytearray()
    while len(body) <= size and (chunk := await answer.content.readany()):
        body += chunk
    return bytes(body)


async def _whole(answer: aiohttp.ClientResponse, head: bytes = b"", most: int = base.MAX_RESPONSE_BYTES) -> Response:
    body = head + await _upto(answer, most - len(head))
    if len(body) > most:
        raise WhiteRabbitTransportError(f"{answer.method} {answer.url.path}: more than {most} bytes")
    return Response(answer.status, base.lower_case(answer.headers), body, time.time())
