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
from dataclasses import dataclass
from typing import Any

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.wait.commands import Close, Command, Followed, Get, Open, Read, Sleep, Snapshot
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
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

SHORTEST_POLL = 1.0
"""Seconds; a shorter `poll_interval` would have a thousand waits ask without a break."""

LONGEST_BREATH = 300.0
"""Seconds; a ``Retry-After`` that asks for more is not honoured beyond this."""

UNCHECKED = 900.0
"""Seconds after which the record is read although its stream lives: the server may have lost the end."""

REFUSED_FOR = 600.0
"""Seconds after which a stream that was refused is asked for again."""


def follow(
    followed: Followed[Any],
    *,
    deadline: float | None = None,
    poll_interval: float = POLL_INTERVAL,
    confirm: bool = False,
    clock: Callable[[], float] = time.time,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Generator[Command, Any, Snapshot]:
    """Follow until the status is terminal and return what said so: an event, or a glance at the record.

    :param deadline: when to give up, in Unix seconds (wall clock: it outlives processes); `None` waits without end.
    :param poll_interval: seconds, 1 or more, between two reads of the record while streaming is refused; also the
        longest pause before a reconnect.
    :param confirm: return the record, whole, reading it once more where an event told of the end.
    :raises WhiteRabbitTimeoutError: at the deadline.
    :raises WhiteRabbitResponseError: if the record is refused for good: key, permission, unknown id.
    :raises WhiteRabbitProtocolError: if the record is not as documented.
    """
    return _Follower(followed, deadline, max(poll_interval, SHORTEST_POLL), confirm, clock, uniform).run()


@dataclass(slots=True)
class _Follower:
    followed: Followed[Any]
    deadline: float | None
    poll_interval: float
    confirm: bool
    clock: Callable[[], float]
    uniform: Callable[[float, float], float]
    refused_at: float | None = None  # when the stream was
    failures: int = 0  # in a row
    error: WhiteRabbitError | None = None  # why the next pause is one of a back-off
    status: Any = None
    progress: tuple[str, ...] = ()  # all that was logged: a stream may tell what the record has passed
    troubles: tuple[str, ...] = ()  # that were logged since all was well
    started: float = 0.0

    def run(self) -> Generator[Command, Any, Snapshot]:
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
        if not self._streams or self._left() <= 0:
            return False
        try:
            yield Open(self.followed.stream, self._left())
        except WhiteRabbitError as error:
            if retry.is_transient(error):
                self._failed(error)
            else:  # the record, read next, decides whether this is the stream's problem alone
                self.refused_at = self.clock()
                log.warning("%s: no stream (%s); polling every %g s", self.followed.what, error, self.poll_interval)
            return False
        self.refused_at = None
        return True

    @property
    def _streams(self) -> bool:
        return self.refused_at is None or self.clock() - self.refused_at >= REFUSED_FOR

    def _look(self) -> Generator[Command, Any, Snapshot | None]:
        """Read the record; None while the API is out of order."""
        try:
            record = yield from self._record()
        except WhiteRabbitError as error:
            if not retry.is_transient(error):
                raise
            self._failed(error)
            return None
        if not self._streams:  # otherwise only a stream that lives shows that all is well again
            self.failures = 0
        self._saw(record)
        return record

    def _record(self) -> Generator[Command, Any, Snapshot]:
        record: Snapshot
        if self.confirm:
            record = self.followed.record_of((yield Get(self.followed.record, self._within())))
            return record
        glance = yield Get(self.followed.record, self._within(), wanted=("id", "status"))
        return self.followed.glance_of(glance)

    def _listen(self) -> Generator[Command, Any, Snapshot | None]:
        """Read the stream; return what told of the end, or None when the stream or the time is over."""
        opened = checked = self.clock()
        try:
            while (left := self._left()) > 0:
                if self.clock() - checked >= UNCHECKED:
                    record = yield from self._look()
                    if record is not None and record.status.is_terminal:
                        return record
                    checked = self.clock()
                    continue  # the look took some of the time that was left
                events = yield Read(SILENCE, left, quiet=checked + UNCHECKED - self.clock())
                if events is None:
                    raise WhiteRabbitStreamError("closed before the end")
                for event in events:
                    snapshot = self._event(event)
                    if snapshot.status.is_terminal:
                        return snapshot
        except (WhiteRabbitStreamError, WhiteRabbitTransportError) as error:
            if self.clock() - opened >= SETTLED:
                self.failures = 0
                self.troubles = ()
            self._failed(error)
        return None

    def _event(self, data: Any) -> Snapshot:
        event = self.followed.event_of(data)
        self._saw(event)
        return event

    def _saw(self, snapshot: Snapshot) -> None:
        self.status = snapshot.status
        if snapshot.progress not in self.progress:
            self.progress += (snapshot.progress,)
            elapsed = self.clock() - self.started
            log.info("%s: %s after %.1f s", self.followed.what, snapshot.progress, elapsed)

    def _failed(self, error: WhiteRabbitError) -> None:
        self.failures += 1
        if self.error is None or retry.asked(error) >= retry.asked(self.error):  # what was asked for outlives the rest
            self.error = error
        if str(error) not in self.troubles:  # an outage of hours must not fill the log
            self.troubles += (str(error),)
            log.warning("%s: %s; the wait goes on", self.followed.what, error)

    def _pause(self) -> Generator[Command, Any, None]:
        seconds = self.poll_interval
        if self.error is not None:
            pause = retry.pause_after(max(1, self.failures), self.error, self.poll_interval, self.uniform)
            seconds = min(pause, LONGEST_BREATH)
            self.error = None
        yield Sleep(max(0.0, min(seconds, self._left())))

    def _left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - self.clock()

    def _within(self) -> float:
        return max(self._left(), LAST_LOOK)

    def _check_deadline(self) -> None:
        if self._left() > 0:
            return
        trouble = f" ({self.error})" if self.error else ""
        if self.status is None:
            raise WhiteRabbitTimeoutError(f"{self.followed.what}: nothing was learnt of it in time{trouble}")
        raise WhiteRabbitTimeoutError(
            f"{self.followed.what} did not end in time; its last known status is {self.status}{trouble}. "
            "It goes on at White Rabbit"
        )
