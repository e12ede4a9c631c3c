"""Moves requests over `requests`: in workers, where blocking is fine. It and `connections` alone import it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, Self, TypeVar, cast

import requests
from tenacity import Retrying

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.transport import exchange as base
from airflow_provider_whiterabbit.client.transport.settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync_io import (
    TRANSPORT_ERRORS,
    EventStream,
    ReachedAdapter,
    Session,
    whole,
)
from airflow_provider_whiterabbit.client.wait.commands import (
    Close,
    Command,
    Followed,
    Get,
    Open,
    R,
    Read,
    Sleep,
    Snapshot,
)
from airflow_provider_whiterabbit.client.wait.follower import SILENCE, follow
from airflow_provider_whiterabbit.client.wire import answers
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.sse import MAX_EVENT_BYTES
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitAuthenticationError,
    WhiteRabbitError,
    WhiteRabbitResponseError,
    WhiteRabbitTransportError,
    WhiteRabbitUncertainSubmissionError,
)

T = TypeVar("T")


class Client(base.ClientBase):
    """A blocking client. Keep it as long as you like; close it, or use it in a ``with``.

    :param sleep: waits so many seconds.
    """

    def __init__(self, settings: ClientSettings, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(settings)
        self._sleep = sleep
        self._session = Session()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept alive."""
        self._session.close()

    def call(self, request: Request) -> Any:
        """Send a request, again where `retry` allows it, and return the JSON of its answer.

        :raises WhiteRabbitResponseError: if the server refuses.
        :raises WhiteRabbitTransportError: if no usable answer arrives.
        """
        return Retrying(sleep=self._sleep, **retry.policy(request))(self.send, request)

    def send(self, request: Request, within: float = float("inf")) -> Any:
        """Send a request once (twice where our clock was wrong the first time) and return the JSON of its answer.

        :param within: seconds that it may take in all, but for an answer's head that dribbles in: there it is the time
            for each piece.
        """
        return self._by_the_right_clock(partial(self._exchange, request), request, within)

    def submit(self, request: Request, id_field: str = "id", submitted: Callable[[str], None] = lambda _: None) -> Any:
        """Submit something, at most once, and return the JSON of the answer, which holds an id.

        :param request: made by `api.execute_component` or `api.trigger_workflow`.
        :param id_field: where the answer holds the id.
        :param submitted: is told the id before anything else in the answer is looked at.
        :raises WhiteRabbitResponseError: if the server refused: nothing runs.
        :raises WhiteRabbitTransportError: if the server was never reached: nothing runs.
        :raises WhiteRabbitUncertainSubmissionError: if it is not known whether anything runs.
        """
        try:
            data = self.call(request)
        except (WhiteRabbitResponseError, WhiteRabbitTransportError) as error:
            if not retry.is_uncertain(error):
                raise
            raise WhiteRabbitUncertainSubmissionError(
                f"It is not known whether White Rabbit got this submission, so it was not sent again: {error}"
            ) from error
        submitted(answers.submitted_id(request, data, id_field))
        return data

    def read(self, followed: Followed[R]) -> R:
        """Read a record."""
        return followed.record_of(self.call(followed.record))

    def look(self, followed: Followed[R]) -> R:
        """Read a record, trying once: for those who will look again."""
        return followed.record_of(self.send(followed.record))

    def read_ended(self, followed: Followed[R], patience: float = 300.0) -> R:
        """Read the record of what is known to have ended, though White Rabbit may be out of order.

        :param patience: seconds to go on trying.
        :raises WhiteRabbitTimeoutError: when they are over.
        """
        try:
            record = self.read(followed)
        except (WhiteRabbitResponseError, WhiteRabbitTransportError) as error:
            if not retry.is_transient(error):
                raise
        else:
            if record.status.is_terminal:
                return record
        return self.wait(followed, timeout=patience)

    def wait(self, followed: Followed[R], *, timeout: float | None = None, poll_interval: float = POLL_INTERVAL) -> R:
        """Wait until something has ended, well or not, and return its record.

        :param timeout: seconds; `None` waits without end.
        :param poll_interval: seconds between two reads of the record where streaming is not to be had.
        :raises WhiteRabbitTimeoutError: when the time is up.
        """
        deadline = None if timeout is None else time.time() + timeout
        return cast(R, self.run(follow(followed, deadline=deadline, poll_interval=poll_interval, confirm=True)))

    def events(self, followed: Followed[Any]) -> Iterator[Snapshot]:
        """Yield the events of a stream until the status is terminal or the server closes it.

        :raises WhiteRabbitError: if the stream is refused, breaks, goes silent for 45 seconds, or is not as documented.
        """
        forever = float("inf")
        with contextlib.closing(self._open(followed.stream, largest=base.MAX_RESPONSE_BYTES)) as stream:
            while (events := stream.read(SILENCE, forever, forever)) is not None:
                for data in events:
                    event = followed.event_of(data)
                    yield event
                    if event.status.is_terminal:
                        return

    def run(self, steps: Generator[Command, Any, T]) -> T:
        """Carry out the commands of `follow` and return what it found."""
        stream: EventStream | None = None
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
                        case Open(request, within):
                            stream = self._open(request, within)
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

    def _open(self, request: Request, within: float = float("inf"), largest: int = MAX_EVENT_BYTES) -> EventStream:
        return self._by_the_right_clock(partial(self._open_once, request, largest), request, within)

    def _open_once(self, request: Request, largest: int, limits: base.Limits) -> EventStream:
        answer = self._start(self._session, request, limits, base.EVENT_STREAM)
        try:
            head = Response(answer.status_code, base.lower_case(answer.headers), b"", time.time())
            if head.status != 200:
                head = whole(answer, limits)
            base.check_stream(request, head)
        except BaseException:
            answer.close()
            raise
        return EventStream(answer, largest)

    def _exchange(self, request: Request, limits: base.Limits) -> Any:
        with contextlib.ExitStack() as stack:
            if request.idempotent:
                session, reached = self._session, None
            else:
                # A connection kept alive may be dead already; on a fresh one it is known whether anything was sent.
                session, reached = stack.enter_context(Session()), ReachedAdapter()
                for scheme in ("http://", "https://"):
                    session.mount(scheme, reached)
            try:
                with self._start(session, request, limits, "application/json") as answer:
                    response = whole(answer, limits)
            except WhiteRabbitTransportError as error:
                error.sent = reached is None or reached.connected
                raise
        return answers.data_of(request, response)

    def _start(
        self, session: requests.Session, request: Request, limits: base.Limits, accept: str
    ) -> requests.Response:
        try:
            return session.request(
                request.method,
                self._url(request),
                data=request.body,
                headers=self._headers(request, accept),
                timeout=(limits.connect, limits.read),
                verify=self.settings.trust_store,
                proxies={"http": self._proxy, "https": self._proxy} if self._proxy else None,
                allow_redirects=False,  # it would carry the key to another host
                stream=True,
            )
        except TRANSPORT_ERRORS as error:
            raise WhiteRabbitTransportError(f"{request.method} {request.path}: {base.root_cause(error)}") from None

    def _by_the_right_clock(self, exchange: Callable[[base.Limits], T], request: Request, within: float) -> T:
        ends = time.monotonic() + within
        try:
            return exchange(self._limits(request, within))
        except WhiteRabbitAuthenticationError as error:
            if not self._corrected_clock(error):
                raise
        return exchange(self._limits(request, ends - time.monotonic()))
