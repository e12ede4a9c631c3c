"""Moves requests over `requests`: in workers, where blocking is fine. It and `connections` alone import it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, Self, TypeVar, cast

import requests
import urllib3
from tenacity import Retrying

from airflow_provider_whiterabbit.client import answers, api, base, retry
from airflow_provider_whiterabbit.client.commands import Close, Command, Get, Open, Read, Sleep
from airflow_provider_whiterabbit.client.connections import ReachedAdapter
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.events import EventDecoder
from airflow_provider_whiterabbit.client.follow import SILENCE, follow
from airflow_provider_whiterabbit.client.models import Execution, ExecutionEvent, Request, Response
from airflow_provider_whiterabbit.client.settings import ClientSettings
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitAuthenticationError,
    WhiteRabbitError,
    WhiteRabbitProtocolError,
    WhiteRabbitResponseError,
    WhiteRabbitStreamError,
    WhiteRabbitTransportError,
    WhiteRabbitUncertainSubmissionError,
)

T = TypeVar("T")

_CHUNK = 64 * 1024

# requests wraps most of what urllib3 raises, but not all of it, and nothing of it while a raw body is being read.
_TRANSPORT_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class Client(base.ClientBase):
    """A blocking client. Keep it as long as you like; close it, or use it in a ``with``.

    :param sleep: waits so many seconds.
    """

    def __init__(self, settings: ClientSettings, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(settings)
        self._sleep = sleep
        self._session = requests.Session()
        # What the environment says of proxies and certificates is read by the settings, for both transports alike;
        # requests would also take a password from ~/.netrc.
        self._session.trust_env = False

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

        :param within: seconds that it may take in all.
        """
        return self._by_the_right_clock(partial(self._exchange, request, self._limits(request, within)))

    def submit(self, request: Request, submitted: Callable[[str], None] = lambda _: None) -> Execution:
        """Submit an execution, at most once, and return its record.

        :param request: made by `api.execute_component`.
        :param submitted: is told the execution's id before anything else in the answer is looked at.
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
        execution_id = answers.submitted_id(request, data)
        submitted(execution_id)
        try:
            return Execution.from_dict(data)
        except WhiteRabbitProtocolError as error:
            raise WhiteRabbitProtocolError(f"Execution {execution_id} was submitted, but: {error}") from None

    def get_execution(self, execution_id: str) -> Execution:
        """Read an execution record."""
        return Execution.from_dict(self.call(api.get_execution(execution_id)))

    def look_at_execution(self, execution_id: str) -> Execution:
        """Read an execution record, trying once: for those who will look again."""
        return Execution.from_dict(self.send(api.get_execution(execution_id)))

    def get_ended_execution(self, execution_id: str, patience: float = 300.0) -> Execution:
        """Read the record of an execution that is known to have ended, though White Rabbit may be out of order.

        :param patience: seconds to go on trying.
        :raises WhiteRabbitTimeoutError: when they are over.
        """
        try:
            execution = self.get_execution(execution_id)
        except (WhiteRabbitResponseError, WhiteRabbitTransportError) as error:
            if not retry.is_transient(error):
                raise
        else:
            if execution.completed:
                return execution
        return self.wait_for_execution(execution_id, timeout=patience)

    def stream_execution(self, execution_id: str) -> Iterator[ExecutionEvent]:
        """Yield an execution's events until its status is terminal or the server closes the stream.

        :raises WhiteRabbitError: if the stream is refused, breaks, goes silent for 45 seconds, or is not as documented.
        """
        return self._events(api.stream_execution(execution_id))

    def _events(self, request: Request) -> Iterator[ExecutionEvent]:
        decoder = EventDecoder(base.MAX_RESPONSE_BYTES)
        with contextlib.closing(self._open(request)) as stream:
            try:
                while chunk := stream.read(SILENCE):
                    for data in decoder.feed(chunk):
                        event = ExecutionEvent.from_dict(data)
                        yield event
                        if event.status.is_terminal:
                            return
            except TimeoutError as error:
                raise WhiteRabbitStreamError(f"{request.path}: {error}") from None

    def wait_for_execution(
        self, execution_id: str, *, timeout: float | None = None, poll_interval: float = POLL_INTERVAL
    ) -> Execution:
        """Wait until an execution has ended, well or not, and return its record.

        :param timeout: seconds; `None` waits without end.
        :param poll_interval: seconds between two reads of the record where streaming is not to be had.
        :raises WhiteRabbitTimeoutError: when the time is up.
        """
        deadline = None if timeout is None else time.time() + timeout
        followed = base.followed_execution(execution_id)
        steps = follow(followed, deadline=deadline, poll_interval=poll_interval, confirm=True)
        return cast(Execution, self.run(steps))

    def run(self, steps: Generator[Command, Any, T]) -> T:
        """Carry out the commands of `follow` and return what it found."""
        stream: _Body | None = None
        answer: Any
        step: Callable[[], Command] = partial(next, steps)
        try:
            while True:
                command = step()
                answer = None
                try:
                    match command:
                        case Open(request, within):
                            stream = self._open(request, within)
                        case Read(seconds):
                            answer = stream.read(seconds) if stream else b""
                        case Close() if stream:
                            stream.close()
                        case Get(request, within, _):
                            answer = self.send(request, within)
                        case Sleep(seconds):
                            self._sleep(seconds)
                except (WhiteRabbitError, TimeoutError) as error:
                    step = partial(steps.throw, error)
                else:
                    step = partial(steps.send, answer)
        except StopIteration as end:
            return cast(T, end.value)
        finally:
            if stream:
                stream.close()

    def _open(self, request: Request, within: float = float("inf")) -> _Body:
        return self._by_the_right_clock(partial(self._open_once, request, self._limits(request, within)))

    def _open_once(self, request: Request, limits: base.Limits) -> _Body:
        answer = self._start(self._session, request, limits, base.EVENT_STREAM)
        try:
            head = Response(answer.status_code, base.lower_case(answer.headers), b"", time.time())
            if head.status != 200:
                head = _whole(answer, limits)
            base.check_stream(request, head)
        except BaseException:
            answer.close()
            raise
        return _Body(answer)

    def _exchange(self, request: Request, limits: base.Limits) -> Any:
        with contextlib.ExitStack() as stack:
            if request.idempotent:
                session, reached = self._session, None
            else:
                # A connection kept alive may be dead already; on a fresh one it is known whether anything was sent.
                session, reached = stack.enter_context(requests.Session()), ReachedAdapter()
                session.trust_env = False
                for scheme in ("http://", "https://"):
                    session.mount(scheme, reached)
            try:
                with self._start(session, request, limits, "application/json") as answer:
                    response = _whole(answer, limits)
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
        except _TRANSPORT_ERRORS as error:
            raise WhiteRabbitTransportError(f"{request.method} {request.path}: {base.root_cause(error)}") from None

    def _by_the_right_clock(self, exchange: Callable[[], T]) -> T:
        try:
            return exchange()
        except WhiteRabbitAuthenticationError as error:
            if not self._corrected_clock(error):
                raise
        return exchange()


class _Body:
    """The body of an answer, read piece by piece."""

    def __init__(self, answer: requests.Response) -> None:
        self._answer = answer
        self._socket = _socket_of(answer)

    def read(self, seconds: float) -> bytes:
        """Return the next bytes, none at the end.

        :raises TimeoutError: after so many seconds without any.
        """
        if self._socket is not None:
            self._socket.settimeout(max(seconds, 0.001))  # nought would mean not to wait at all
        try:
            return cast(bytes, self._answer.raw.read1(_CHUNK))
        except urllib3.exceptions.ReadTimeoutError:
            raise TimeoutError(f"nothing came for {seconds:g} s") from None
        except _TRANSPORT_ERRORS as error:
            raise WhiteRabbitTransportError(f"the connection broke: {base.root_cause(error)}") from None

    def close(self) -> None:
        self._answer.close()


def _socket_of(answer: requests.Response) -> socket.socket | None:
    """Find the socket, whose time-out changes from read to read; no library's interface gives it.

    A connection that the server is going to close has handed it over to the answer.
    """
    of_connection = getattr(answer.raw.connection, "sock", None)
    reader = getattr(getattr(answer.raw, "_fp", None), "fp", None)
    of_answer = getattr(getattr(reader, "raw", None), "_sock", None)
    found = of_connection or of_answer
    return found if isinstance(found, socket.socket) else None


def _whole(answer: requests.Response, limits: base.Limits) -> Response:
    """Read the rest of an answer, within its limits of time and size."""
    what = f"{answer.request.method} {answer.request.path_url}"
    ends = time.monotonic() + limits.total
    reader, body = _Body(answer), bytearray()
    try:
        while chunk := reader.read(min(limits.read, ends - time.monotonic())):
            body += chunk
            if len(body) > base.MAX_RESPONSE_BYTES:
                raise WhiteRabbitTransportError(f"{what}: more than {base.MAX_RESPONSE_BYTES} bytes")
            if time.monotonic() > ends:
                raise WhiteRabbitTransportError(f"{what}: not whole after {limits.total:g} s")
    except TimeoutError as error:
        raise WhiteRabbitTransportError(f"{what}: {error}") from None
    return Response(answer.status_code, base.lower_case(answer.headers), bytes(body), time.time())
