"""The blocking client of White Rabbit's API, over `requests`, for workers; module `aio` has the asynchronous client."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, Self, TypeVar, cast

import requests

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.exchange import (
    EVENT_STREAM,
    JSON,
    Limits,
    lower_case,
)
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.transport.sync_adapters import Adapters
from airflow_provider_whiterabbit.client.transport.sync_io import (
    EventStream,
    read_whole,
    transport_errors,
)
from airflow_provider_whiterabbit.client.transport.sync_sending import SendingClient
from airflow_provider_whiterabbit.client.transport.sync_sockets import LimitedAdapter
from airflow_provider_whiterabbit.client.wait.commands import Close, Command, Get, Open, Read, Sleep
from airflow_provider_whiterabbit.client.wait.followed import Followed, R, Snapshot
from airflow_provider_whiterabbit.client.wait.follower import follow
from airflow_provider_whiterabbit.client.wait.occurrences import Observer, ignore
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.sse import MAX_EVENT_BYTES
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitResponseError,
    WhiteRabbitTransportError,
)

T = TypeVar("T")

_FOREVER = float("inf")


class Client(SendingClient):
    """A blocking client of White Rabbit's API. Call the client's `close` at the end, or use the client in a ``with``.

    :param timing: the times of waits and retries.
    :param sleep: waits so many seconds.
    :param read_again: reads the settings again after the API has refused the key, which may have been replaced.
    """

    def __init__(
        self,
        settings: ClientSettings,
        timing: Timing = Timing(),  # noqa: B008 (frozen)
        sleep: Callable[[float], None] = time.sleep,
        read_again: Callable[[], ClientSettings] | None = None,
    ) -> None:
        super().__init__(settings, timing, sleep, read_again)
        self._adapters = Adapters(settings, self._proxy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the HTTP connections that the client keeps alive."""
        self._adapters.close()

    def send(self, request: Request, within: float = _FOREVER) -> Any:
        """Send a request once, and again if its clock or its key was wrong; return the response's JSON.

        :param within: seconds that the exchange may take.
        :raises WhiteRabbitResponseError: if the server refuses.
        :raises WhiteRabbitTransportError: if no usable answer arrives.
        """
        return self._send(itertools.count(1), request, within)

    def read_once(self, followed: Followed[R]) -> R:
        """Read the record of an execution or workflow run in a single attempt, without retries."""
        return followed.record_of(self.send(followed.record_request))

    def read(self, followed: Followed[R]) -> R:
        """Read the record of an execution or workflow run, with retries."""
        return followed.record_of(self.call(followed.record_request))

    def read_ended(self, followed: Followed[R], patience: float = 300.0) -> R:
        """Read the record of an execution or workflow run that has ended; retry during an outage of White Rabbit.

        :param patience: seconds to go on trying.
        :raises WhiteRabbitTimeoutError: when they are over.
        """
        try:
            record = self.read(followed)
        except (WhiteRabbitResponseError, WhiteRabbitTransportError) as error:
            if not retry.is_transient(error):
                raise
        else:
            if record.is_terminal:
                return record
        return self.wait(followed, timeout=patience)

    def events(self, followed: Followed[Any]) -> Iterator[Snapshot]:
        """Yield the events of an event stream until an event's status is terminal or the server closes the stream.

        :raises WhiteRabbitError: if the stream is refused, breaks, goes silent for 45 seconds, or is not as documented.
        """
        followed = self.guarded(followed)
        with contextlib.closing(
            self._open(followed.stream_request, _FOREVER, self.settings.max_answer_bytes)
        ) as stream:
            while (events := stream.read(self.timing.silence, _FOREVER, _FOREVER)) is not None:
                for data in events:
                    event = followed.event_of(data)
                    yield event
                    if event.is_terminal:
                        return

    def wait(
        self,
        followed: Followed[R],
        *,
        timeout: float | None = None,
        poll_interval: float = POLL_INTERVAL,
        observe: Observer = ignore,
    ) -> R:
        """Wait until an execution or workflow run has ended, successfully or not; return its record.

        :param timeout: seconds; `None` waits without end.
        :param poll_interval: seconds between two reads of the record where streaming is refused.
        :param observe: is told of each reconnect, poll and refusal.
        :raises WhiteRabbitTimeoutError: when the time is up.
        """
        deadline = None if timeout is None else time.time() + timeout
        steps = follow(
            self.guarded(followed),
            deadline=deadline,
            poll_interval=poll_interval,
            whole_record=True,
            observe=observe,
            timing=self.timing,
        )
        return cast(R, self.run(steps))

    def run(self, steps: Generator[Command, Any, T]) -> T:
        """Carry out the I/O commands that the generator `follow` yields; return the result of `follow`."""
        stream: EventStream | None = None
        may_wait = False
        answer: Any = None
        failure: WhiteRabbitError | None = None
        try:
            while True:
                command = steps.throw(failure) if failure else steps.send(answer)
                answer = failure = None
                try:
                    match command:
                        case Read(silence, within, quiet) if stream:
                            answer = stream.read(silence, within, quiet)
                        case Open(_, _, patience) if patience < _FOREVER and not may_wait:
                            answer, may_wait = False, True  # opening blocks, so the record is read first
                        case Open(request, within, _):
                            stream, answer = self._open(request, within), True
                        case Close() if stream:
                            stream.close()
                        case Get(request, within, _):
                            answer = self.send(request, within)
                        case Sleep(seconds):
                            self._sleep(seconds)
                except WhiteRabbitError as error:
                    failure = error
        except StopIteration as end:
            return cast(T, end.value)
        finally:
            if stream:
                stream.close()

    def _send(self, attempts: Iterator[int], request: Request, within: float = _FOREVER) -> Any:
        return self._with_valid_key(partial(self._exchange, request, attempts), request, within)

    def _open(self, request: Request, within: float, max_event_bytes: int = MAX_EVENT_BYTES) -> EventStream:
        opening = partial(self._open_once, request, max_event_bytes, itertools.count(1))
        return self._with_valid_key(opening, request, within)

    def _open_once(
        self, request: Request, max_event_bytes: int, attempts: Iterator[int], limits: Limits
    ) -> EventStream:
        limits = dataclasses.replace(limits, total=min(limits.read, limits.total))  # of the head, or of an error
        with RequestLog(request, next(attempts)) as entry, transport_errors(self, request, limits):
            answer = self._start(self._adapter_for(request), request, limits, EVENT_STREAM)
            try:
                head = Response(answer.status_code, lower_case(answer.headers), b"", time.time())
                if head.status != 200:
                    head = read_whole(answer, self.settings.max_answer_bytes, entry)
                self._check_stream(request, head)
                stream = EventStream(answer, max_event_bytes, entry, self.hiding)
            except BaseException:
                answer.close()
                raise
            entry.stream_opened(head.headers)
            return stream

    def _exchange(self, request: Request, attempts: Iterator[int], limits: Limits) -> Any:
        with (
            RequestLog(request, next(attempts)) as entry,
            transport_errors(self, request, limits),
            self._start(self._adapter_for(request), request, limits, JSON) as answer,
        ):
            response = read_whole(answer, self.settings.max_answer_bytes, entry)
        return self._data_of(request, response)

    def _adapter_for(self, request: Request) -> LimitedAdapter:
        # A connection that was kept alive may be dead. On a fresh one it is known whether anything was sent.
        return self._adapters.current(self.settings, keeps=request.idempotent)

    def _start(self, adapter: LimitedAdapter, request: Request, limits: Limits, accept: str) -> requests.Response:
        """Send a request without a `requests.Session`, which would follow redirects, and use cookies and .netrc."""
        headers = {**self._headers(request, accept), "Connection": "keep-alive"}
        prepared = requests.Request(request.method, self._url(request), headers, data=request.body).prepare()
        return adapter.send(
            prepared,
            stream=True,
            timeout=(limits.connect, limits.read),
            proxies={"http": self._proxy, "https": self._proxy} if self._proxy else None,
        )
