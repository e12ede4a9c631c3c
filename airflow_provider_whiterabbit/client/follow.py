"""Waiting for a terminal status: every decision, and no I/O.

`follow` is a generator. It yields commands (open the stream, read from it, get the record, sleep) and is sent what came
of them, or thrown the error; `sync` and `aio` each bring a loop that carries them out. Its rules:

- The stream is opened first and the record read second, so an end between two calls is never missed.
- A stream that closes, breaks, goes silent or talks nonsense leads to a read of the record, then to a reconnect; a
  stream that is refused, to polling.
- An outage of the API does not fail a wait; its deadline does, and the last thing before that is a look at the record.
- What the record says decides: a refused key, an unknown execution and an unknown status end the wait with their error.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Generic

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.commands import Close, Command, E, Followed, Get, Open, R, Read, Sleep
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.events import EventDecoder
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitProtocolError,
    WhiteRabbitResponseError,
    WhiteRabbitStreamError,
    WhiteRabbitTimeoutError,
    WhiteRabbitTransportError,
)

log = logging.getLogger(__name__)

SILENCE = 45.0
"""Seconds without a byte after which a stream is dead: three missed pings of 15 seconds (*Status & Streaming*)."""

SETTLED = 20.0
"""Seconds that a stream must have lived for its loss to count as the first failure again."""

LAST_LOOK = 5.0
"""Seconds that the look at the record may take whose wait is already over."""


def follow(
    followed: Followed[R, E],
    *,
    deadline: float | None = None,
    poll_interval: float = POLL_INTERVAL,
    confirm: bool = False,
    clock: Callable[[], float] = time.time,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Generator[Command, Any, R | E]:
    """Follow until the status is terminal and return the record or the event that said so.

    :param deadline: when to give up, in Unix seconds (wall clock: it outlives processes); `None` waits without end.
    :param poll_interval: seconds between two reads of the record while streaming is refused, and the longest pause
        before a reconnect.
    :param confirm: return the record always, reading it once more where an event told of the end.
    :raises WhiteRabbitTimeoutError: at the deadline.
    :raises WhiteRabbitResponseError: if the record is refused for good: key, permission, unknown id.
    :raises WhiteRabbitProtocolError: if the record is not as documented.
    """
    return _Follower(followed, deadline, poll_interval, confirm, clock, uniform).run()


@dataclass(slots=True)
class _Follower(Generic[R, E]):
    followed: Followed[R, E]
    deadline: float | None
    poll_interval: float
    confirm: bool
    clock: Callable[[], float]
    uniform: Callable[[float, float], float]
    streams: bool = True  # until the server refuses
    failures: int = 0  # in a row
    error: WhiteRabbitError | None = None  # the last of them
    said: set[str] = field(default_factory=set)
    status: Any = None
    started: float = 0.0

    def run(self) -> Generator[Command, Any, R | E]:
        self.started = self.clock()
        while True:
            subscribed = yield from self._subscribe()
            record = yield from self._look()
            if record is not None and record.status.is_terminal:
                return record
            self._check_deadline()
            if subscribed:
                event = yield from self._listen()
                yield Close()
                if event is not None and not self.confirm:
                    return event
                record = yield from self._look()
                if record is not None and record.status.is_terminal:
                    return record
                if event is not None and record is not None:
                    self._failed(WhiteRabbitStreamError(f"the stream says {event.status}, the record {record.status}"))
                self._check_deadline()
            yield from self._pause()

    def _subscribe(self) -> Generator[Command, Any, bool]:
        if not self.streams or self._left() <= 0:
            return False
        try:
            yield Open(self.followed.stream, self._within())
        except WhiteRabbitError as error:
            if retry.is_transient(error):
                self._failed(error)
            else:  # the record, read next, decides whether this is the stream's problem alone
                self.streams = False
                log.warning("%s: no stream (%s); polling every %g s", self.followed.what, error, self.poll_interval)
            return False
        return True

    def _look(self) -> Generator[Command, Any, R | None]:
        """Read the record; None while the API is out of order."""
        try:
            record = self.followed.parse_record((yield Get(self.followed.record, self._within())))
        except WhiteRabbitError as error:
            if not retry.is_transient(error):
                raise
            self._failed(error)
            return None
        if record.id != self.followed.id:
            raise WhiteRabbitProtocolError(
                f"{self.followed.what}: the record is that of another one, {record.id!r:.100}"
            )
        if not self.streams:
            self.failures = 0
        self._saw(record)
        return record

    def _listen(self) -> Generator[Command, Any, E | None]:
        """Read the stream; return its terminal event, or None when the stream or the time is over."""
        decoder = EventDecoder()
        since = self.clock()
        try:
            while (left := self._left()) > 0:
                try:
                    chunk = yield Read(min(SILENCE, left))
                except TimeoutError:
                    if left <= SILENCE:
                        break
                    raise WhiteRabbitStreamError(f"silent for {SILENCE:g} s") from None
                if not chunk:
                    raise WhiteRabbitStreamError("closed before the end")
                for data in decoder.feed(chunk):
                    event = self._event(data)
                    if event.status.is_terminal:
                        return event
        except (WhiteRabbitStreamError, WhiteRabbitTransportError) as error:
            if self.clock() - since >= SETTLED:
                self.failures = 0
            self._failed(error)
        return None

    def _event(self, data: Any) -> E:
        try:
            event = self.followed.parse_event(data)
        except WhiteRabbitProtocolError as error:
            raise WhiteRabbitStreamError(str(error)) from None
        if event.id != self.followed.id:
            raise WhiteRabbitStreamError("an event belongs to another id")
        self._saw(event)
        return event

    def _saw(self, snapshot: R | E) -> None:
        self.status = snapshot.status
        self._say(logging.INFO, snapshot.progress, f" after {self.clock() - self.started:.1f} s")

    def _failed(self, error: WhiteRabbitError) -> None:
        self.failures += 1
        self.error = error
        self._say(logging.WARNING, str(error), "; trying again")

    def _say(self, level: int, text: str, more: str) -> None:
        """Log each thing once: an outage of hours must not fill the log."""
        if text not in self.said:
            self.said.add(text)
            log.log(level, "%s: %s%s", self.followed.what, text, more)

    def _pause(self) -> Generator[Command, Any, None]:
        if self.error is not None:
            seconds = retry.pause_after(max(1, self.failures), self.error, self.poll_interval, self.uniform)
        else:
            seconds = self.poll_interval
        self.error = None
        yield Sleep(max(0.0, min(seconds, self._left())))

    def _left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - self.clock()

    def _within(self) -> float:
        return max(self._left(), LAST_LOOK)

    def _check_deadline(self) -> None:
        if self._left() <= 0:
            known = f"its last known status is {self.status}" if self.status else "its status is not known"
            because = f" ({self.error})" if isinstance(self.error, WhiteRabbitResponseError) else ""
            raise WhiteRabbitTimeoutError(
                f"{self.followed.what} did not end in time; {known}{because}. It goes on at White Rabbit"
            )
