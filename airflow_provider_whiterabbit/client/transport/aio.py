"""The asynchronous client of White Rabbit's API, over aiohttp; the module `sync` has the blocking client.

A trigger may run twice at once, when a triggerer was believed dead, so it never calls `submit` or `call`. All that a
wait needs goes through `send`, which refuses what must not be sent twice.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any, Self, TypeVar, cast

from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.transport.aio_exchanges import ExchangingClient
from airflow_provider_whiterabbit.client.transport.aio_stream import EventStream
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.opening import StreamOfWait
from airflow_provider_whiterabbit.client.transport.sharing import join, leave
from airflow_provider_whiterabbit.client.wait.commands import Close, Command, Get, Open, Read, Sleep
from airflow_provider_whiterabbit.client.wait.followed import Followed, R, Snapshot
from airflow_provider_whiterabbit.client.wait.follower import follow
from airflow_provider_whiterabbit.client.wait.occurrences import Observer, ignore
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.client.wire.sse import MAX_EVENT_BYTES
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitInputError,
)

T = TypeVar("T")

_FOREVER = float("inf")


class AsyncClient(ExchangingClient):
    """An asynchronous client of White Rabbit's API, for ``async with``. All clients of an event loop share a session.

    :param timing: the times of waits and retries.
    :param read_again: reads the settings again after the API has refused the key, which may have been replaced.
    """

    __slots__ = ()

    def __init__(
        self,
        settings: ClientSettings,
        timing: Timing = Timing(),  # noqa: B008 (frozen)
        read_again: Callable[[], Awaitable[ClientSettings]] | None = None,
    ) -> None:
        super().__init__(settings, timing, read_again)

    async def __aenter__(self) -> Self:
        self._shared = join(self.settings, self.timing.silence)
        self._proxy = self._shared.proxy
        try:
            with self.settings.naming_connection():
                self._session = await self._shared.opened()
        except BaseException:
            await leave(self._shared)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop using the shared session, as the end of an ``async with`` does."""
        await leave(self._shared)

    async def send(
        self,
        request: Request,
        within: float = _FOREVER,
        wanted: tuple[str, ...] = (),
        max_bytes: int | None = None,
    ) -> Any:
        """Send a request once, and again if its clock or its key was wrong; return the response's JSON.

        :param within: seconds that the exchange may take, the wait for its turn included.
        :param wanted: the only members that are needed; the rest of a large answer is not kept.
        :param max_bytes: largest answer that is read; by default that of the settings.
        :raises WhiteRabbitInputError: if the request must not be sent twice.
        :raises WhiteRabbitResponseError: if the server refuses.
        :raises WhiteRabbitTransportError: if no usable answer arrives.
        """
        if not request.idempotent:
            raise WhiteRabbitInputError(f"{request.method} {request.path} must not be sent twice: use submit or call")
        return await self._send(itertools.count(1), request, within, wanted, max_bytes)

    async def read_once(self, followed: Followed[R], max_bytes: int | None = None) -> R:
        """Read the record of an execution or workflow run in a single attempt, without retries.

        :param max_bytes: largest record that is read; by default that of the settings.
        """
        return followed.record_of(await self.send(followed.record_request, max_bytes=max_bytes))

    async def read(self, followed: Followed[R]) -> R:
        """Read the record of an execution or workflow run, with retries."""
        return followed.record_of(await self.call(followed.record_request))

    async def events(self, followed: Followed[Any]) -> AsyncGenerator[Snapshot, None]:
        """Yield the events of an event stream until an event's status is terminal or the server closes the stream.

        :raises WhiteRabbitError: if the stream is refused, breaks, goes silent for 45 seconds, or is not as documented.
        """
        followed = self.guarded(followed)
        stream = await self._open(followed.stream_request, _FOREVER, self.settings.max_answer_bytes)
        try:
            while (events := await stream.read(self.timing.silence, _FOREVER, _FOREVER)) is not None:
                for data in events:
                    event = followed.event_of(data)
                    yield event
                    if event.is_terminal:
                        return
        finally:
            stream.close()

    def wait(
        self,
        followed: Followed[Any],
        *,
        deadline: float | None = None,
        poll_interval: float = POLL_INTERVAL,
        observe: Observer = ignore,
        whole_record: bool = False,
    ) -> Coroutine[Any, Any, Snapshot]:
        """Wait until an execution or workflow run has ended; return the event or the partial record that shows the end.

        :param deadline: when to give up, in Unix seconds; `None` waits without end.
        :param poll_interval: seconds between two reads of the record where streaming is refused.
        :param observe: is told of each reconnect, poll and refusal.
        :param whole_record: return the whole record instead.
        :raises WhiteRabbitTimeoutError: at the deadline.
        """
        steps = follow(
            self.guarded(followed),
            deadline=deadline,
            poll_interval=poll_interval,
            whole_record=whole_record,
            observe=observe,
            timing=self.timing,
        )
        return self.run(steps)  # not awaited here: each of many waits would keep one more coroutine

    async def run(self, steps: Generator[Command, Any, T]) -> T:
        """Carry out the I/O commands that the generator `follow` yields; return the result of `follow`."""
        stream = StreamOfWait(self._open)
        answer: Any = None
        failure: WhiteRabbitError | None = None
        try:
            while True:
                command = steps.throw(failure) if failure else steps.send(answer)
                answer = failure = None
                try:
                    match command:
                        case Read(silence, within, quiet):
                            answer = await stream.read(silence, within, quiet)
                        case Open(request, within, patience):
                            answer = await stream.open(request, within, patience)
                        case Close():
                            await stream.close()
                        case Get(request, within, wanted):
                            answer = await self.send(request, within, wanted)
                        case Sleep(seconds):
                            await asyncio.sleep(seconds)
                except WhiteRabbitError as error:
                    failure = error
        except StopIteration as end:
            return cast(T, end.value)
        finally:
            await stream.close()

    async def _send(
        self,
        attempts: Iterator[int],
        request: Request,
        within: float = _FOREVER,
        wanted: tuple[str, ...] = (),
        max_bytes: int | None = None,
    ) -> Any:
        shared = self._shared
        exchange = partial(self._exchange, request, wanted, max_bytes or self.settings.max_answer_bytes, attempts)
        # Without file descriptors, requests wait for connections to use again. A submission keeps its turn.
        longest = self.timing.late_head if request.idempotent and not shared.streams.are_scarce else None
        turns = shared.record_turns if request.idempotent else shared.submission_turns
        try:
            async with turns.taken(within, longest) as left:
                return await self._with_valid_key(exchange, request, left)
        except UnusableAnswerError as error:  # no turn
            raise self.transport_error(request, error) from None

    async def _open(self, request: Request, within: float, max_event_bytes: int = MAX_EVENT_BYTES) -> EventStream:
        streams, refused_for = self._shared.streams, self.timing.retry_stream_after
        opening = partial(self._open_once, request, max_event_bytes, itertools.count(1))
        try:
            async with self._shared.stream_turns.taken(within, self.timing.late_head) as left:
                with streams.opening(refused_for):
                    stream = await self._with_valid_key(opening, request, left)
        except UnusableAnswerError as error:  # no turn
            raise self.transport_error(request, error) from None
        streams.add(stream, refused_for)
        return stream
