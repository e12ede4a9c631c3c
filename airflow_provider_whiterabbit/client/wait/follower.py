"""Decides how to wait until an execution or workflow run has a terminal status; the module does no I/O.

`follow` is a generator. It yields commands (open the stream, read from it, get the record, sleep). A transport carries
each command out and sends back its answer, or throws its error into the generator. The rules:

- The stream is opened first and the record read second, so an end between the two is never missed.
- A stream that closes, breaks, goes silent or sends something unknown leads to a read of the record, then to a
  reconnect. Where the stream is refused, the record is polled.
- An outage of the API does not fail a wait. The deadline does, after a last read of the record.
- The record decides: a refused key, an unknown id or an unknown status ends the wait with its error.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.wait.backoff import Backoff
from airflow_provider_whiterabbit.client.wait.commands import Close, Command, Get, Open, Read, Sleep
from airflow_provider_whiterabbit.client.wait.followed import Followed, Snapshot
from airflow_provider_whiterabbit.client.wait.narrator import Narrator
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitStreamError,
    WhiteRabbitTimeoutError,
    WhiteRabbitTransportError,
)


def follow(
    followed: Followed[Any],
    *,
    deadline: float | None = None,
    poll_interval: float = POLL_INTERVAL,
    whole_record: bool = False,
    timing: Timing = Timing(),  # noqa: B008 (frozen)
    clock: Callable[[], float] = time.time,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Generator[Command, Any, Snapshot]:
    """Follow an execution or workflow run until its status is terminal; return the event or record that shows the end.

    :param deadline: when to give up, in Unix seconds (wall clock, since a wait outlives processes); `None` never.
    :param poll_interval: seconds between two reads of the record while streaming is refused; also the longest pause
        before a reconnect.
    :param whole_record: return the whole record; read it once more where an event told the end.
    :raises WhiteRabbitTimeoutError: at the deadline.
    :raises WhiteRabbitResponseError: if the record is refused for good: key, permission, unknown id.
    :raises WhiteRabbitProtocolError: if the record is not as documented.
    """
    backoff = Backoff(poll_interval, timing, uniform)
    return _Follower(followed, deadline, whole_record, timing, clock, backoff, Narrator(followed.name)).run()


@dataclass(slots=True)
class _Follower:
    followed: Followed[Any]
    deadline: float | None
    whole_record: bool
    timing: Timing
    clock: Callable[[], float]
    backoff: Backoff
    narrator: Narrator
    stream_refused_at: float | None = None

    def run(self) -> Generator[Command, Any, Snapshot]:
        while True:
            is_open = yield from self._open_stream()
            record = yield from self._read_record()
            if record is not None and record.is_terminal:
                return record
            self._check_deadline()
            if is_open:
                event = yield from self._read_stream()
                yield Close()
                if event is not None and not self.whole_record:
                    return event
                record = yield from self._read_record()
                if record is not None and record.is_terminal:
                    return record
                if event is not None and record is not None:
                    self._survive(WhiteRabbitStreamError(f"the stream says {event.status}, the record {record.status}"))
                self._check_deadline()
            yield Sleep(max(0.0, min(self.backoff.next_pause(), self._seconds_left())))

    def _open_stream(self) -> Generator[Command, Any, bool]:
        if not self._may_stream or self._seconds_left() <= 0:
            return False
        try:
            yield Open(self.followed.stream_request, self._seconds_left())
        except WhiteRabbitError as error:
            if retry.is_transient(error):
                self._survive(error)
            else:  # the record, which is read next, decides whether only the stream is refused
                self.stream_refused_at = self.clock()
                self.narrator.tell_polling(error, self.backoff.poll_interval)
            return False
        self.stream_refused_at = None
        return True

    @property
    def _may_stream(self) -> bool:
        refused_at = self.stream_refused_at
        return refused_at is None or self.clock() - refused_at >= self.timing.retry_stream_after

    def _read_record(self) -> Generator[Command, Any, Snapshot | None]:
        """Read the record of the execution or workflow run; return None during an outage of White Rabbit's API."""
        try:
            record = yield from self._get_record()
        except WhiteRabbitError as error:
            if not retry.is_transient(error):
                raise
            self._survive(error)
            return None
        if not self._may_stream:  # while streaming, only a stable stream resets the back-off
            self.backoff.reset()
        self.narrator.tell_progress(record)
        return record

    def _get_record(self) -> Generator[Command, Any, Snapshot]:
        within = max(self._seconds_left(), self.timing.final_read)
        record: Snapshot
        if self.whole_record:
            record = self.followed.record_of((yield Get(self.followed.record_request, within)))
            return record
        glance = yield Get(self.followed.record_request, within, wanted=("id", "status"))
        return self.followed.glance_of(glance)

    def _read_stream(self) -> Generator[Command, Any, Snapshot | None]:
        """Read stream events; return the event or record that shows the end, or None if the stream or time is over."""
        opened_at = record_read_at = self.clock()
        try:
            while (left := self._seconds_left()) > 0:
                until_recheck = record_read_at + self.timing.recheck_after - self.clock()
                if until_recheck <= 0:
                    record = yield from self._read_record()
                    if record is not None and record.is_terminal:
                        return record
                    record_read_at = self.clock()
                    continue  # reading took some of the seconds that were left
                events = yield Read(self.timing.silence, left, quiet=until_recheck)
                if events is None:
                    raise WhiteRabbitStreamError("the stream closed before the end")
                for data in events:
                    event = self.followed.event_of(data)
                    self.narrator.tell_progress(event)
                    if event.is_terminal:
                        return event
        except (WhiteRabbitStreamError, WhiteRabbitTransportError) as error:
            if self.clock() - opened_at >= self.timing.stable_after:
                self.backoff.reset()
                self.narrator.forget_troubles()
            self._survive(error)
        return None

    def _survive(self, error: WhiteRabbitError) -> None:
        self.backoff.count(error)
        self.narrator.tell_trouble(error)

    def _seconds_left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - self.clock()

    def _check_deadline(self) -> None:
        if self.deadline is None or self._seconds_left() > 0:
            return
        deadline = _utc(self.deadline)
        trouble = f" (the last failure: {self.backoff.error})" if self.backoff.error else ""
        if self.narrator.status is None:
            raise WhiteRabbitTimeoutError(
                f"{self.followed.name}: its status could not be read before the deadline, {deadline}{trouble}"
            )
        raise WhiteRabbitTimeoutError(
            f"{self.followed.name} had not ended at the deadline, {deadline}; its last known status is "
            f"{self.narrator.status}{trouble}. It may still be running at White Rabbit; it was not cancelled"
        )


def _utc(seconds: float) -> str:
    """Return Unix seconds as a UTC time for a message."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):  # beyond the calendar
        return f"Unix time {seconds:g}"
