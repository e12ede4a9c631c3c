"""Decides how to wait until an execution or workflow run has a terminal status; the module does no I/O.

`follow` is a generator. It yields commands (open the stream, read from it, get the record, sleep). A transport carries
each command out and sends back its answer, or throws its error into the generator. The rules:

- The stream is opened first and the record read second, so an end between the two is never missed. If the response to
  the opening does not begin soon, the record is read meanwhile, and once more when the stream is open.
- A stream that closes, breaks, goes silent or sends something unknown leads to a read of the record, then to a
  reconnect. Where the stream is refused, the record is polled.
- An outage of the API does not fail a wait, and neither does an answer that is not the API's. The deadline does, after
  a last read of the record.
- The record decides: a refused key, an unknown id or an unknown status that may be an end ends the wait with its error.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.records.status import Status, status_text
from airflow_provider_whiterabbit.client.wait.backoff import Backoff
from airflow_provider_whiterabbit.client.wait.commands import Close, Command, Get, Read, Sleep
from airflow_provider_whiterabbit.client.wait.deadline import Deadline, wall
from airflow_provider_whiterabbit.client.wait.followed import Followed, Snapshot
from airflow_provider_whiterabbit.client.wait.narrator import Narrator
from airflow_provider_whiterabbit.client.wait.occurrences import Observer, Occurrence, ignore
from airflow_provider_whiterabbit.client.wait.stream_opener import StreamOpener
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitProtocolError,
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
    from_record: bool = False,
    observe: Observer = ignore,
    timing: Timing = Timing(),  # noqa: B008 (frozen)
    narrator: Narrator | None = None,
    clock: Callable[[], float] = monotonic,
    wall: Callable[[], float] = wall,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Generator[Command, Any, Snapshot]:
    """Follow an execution or workflow run until its status is terminal; return the event or record that shows the end.

    :param deadline: when to give up, in Unix seconds (wall clock, since a wait outlives processes); `None` never.
    :param poll_interval: seconds between two reads of the record while streaming is refused; also the longest pause
        before a reconnect.
    :param whole_record: return the whole record; read it once more where an event told the end.
    :param from_record: the same with a part of the record, its `Followed.glance_members`.
    :param observe: is told of each reconnect, poll and refusal.
    :param narrator: writes the log; by default a line about each change of the status.
    :raises WhiteRabbitTimeoutError: at the deadline.
    :raises WhiteRabbitResponseError: if the API refuses the record for good: key, permission, unknown id.
    :raises WhiteRabbitProtocolError: if the record is not as documented.
    """
    ends = Deadline(deadline, wall, clock)
    backoff = Backoff(poll_interval, timing, uniform, clock)
    narrator = narrator or Narrator(followed.name, timing, clock, wall)
    opener = StreamOpener(followed.stream_request, ends, timing, clock, backoff, narrator, observe)
    from_record |= whole_record
    return _Follower(followed, ends, whole_record, from_record, timing, clock, backoff, narrator, opener, observe).run()


@dataclass(slots=True)
class _Follower:
    followed: Followed[Any]
    deadline: Deadline
    whole_record: bool
    from_record: bool
    timing: Timing
    clock: Callable[[], float]
    backoff: Backoff
    narrator: Narrator
    opener: StreamOpener
    observe: Observer
    is_up_to_date: bool = False
    """Whether the last read of the record succeeded, with a record that does not lag."""

    def run(self) -> Generator[Command, Any, Snapshot]:
        while True:
            is_open = yield from self.opener.open(self.timing.late_head)
            asked = self.backoff.error is not None and self.backoff.asked > 0
            if asked:  # the record would be asked for from a server that wants a pause
                yield from self._pause()
            record = yield from self._read_record()
            while is_open is None and not _is_end(record) and self.deadline.seconds_left > 0:
                is_open = yield from self.opener.open(self.backoff.poll_interval)
                record = yield from self._read_record()
            if record is not None and record.is_terminal:
                return record
            self._check_deadline()
            if is_open:
                record = None  # many waits read a stream for long, and would each keep one
                event = yield from self._read_stream()
                yield Close()
                if event is not None and not self.from_record:
                    return event
                record = yield from self._read_record()
                if record is not None and record.is_terminal:
                    return record
                if event is not None and record is not None:
                    statuses = f"the stream says {event.status}, the record {status_text(record.status)}"
                    self._survive(WhiteRabbitStreamError(statuses))
                self._check_deadline()
            if not (asked and self.is_up_to_date):
                yield from self._pause()

    def _pause(self) -> Generator[Command, Any, None]:
        yield Sleep(max(0.0, min(self.backoff.next_pause(), self.deadline.seconds_left)))

    def _read_record(self) -> Generator[Command, Any, Snapshot | None]:
        """Read the record of the execution or workflow run; return None during an outage of White Rabbit's API."""
        self.is_up_to_date = False
        if not self.opener.may_stream:
            self.observe(Occurrence.POLL)
        try:
            record = yield from self._get_record()
        except WhiteRabbitError as error:
            if retry.is_refused(error):
                self.observe(Occurrence.REFUSAL)
            if not retry.is_transient(error):
                raise
            self._survive(error)
            return None
        self.narrator.tell_progress(record)
        if not record.is_terminal:
            self.narrator.tell_alive("its record was just read")
        if record.lags:  # the parser has warned
            self.backoff.count(WhiteRabbitProtocolError(f"'completed' is true, but the status is {record.status}"))
            return record
        self.is_up_to_date = True
        if not self.opener.may_stream:  # while streaming, only a stable stream resets the back-off
            self.backoff.reset()
        return record

    def _get_record(self) -> Generator[Command, Any, Snapshot]:
        within = max(self.deadline.seconds_left, self.timing.final_read)
        record: Snapshot
        if self.whole_record:
            record = self.followed.record_of((yield Get(self.followed.record_request, within)))
            return record
        glance = yield Get(self.followed.record_request, within, wanted=self.followed.glance_members)
        return self.followed.glance_of(glance)

    def _read_stream(self) -> Generator[Command, Any, Snapshot | None]:
        """Read stream events; return the event or record that shows the end, or None if the stream or time is over."""
        opened_at = read_at = self.clock()
        interval = self._recheck_interval()
        event: bytes | None = None
        try:
            while (left := self.deadline.seconds_left) > 0:
                until_recheck = read_at + min(interval, self._longest_interval) - self.clock()
                is_soon = not self.is_up_to_date and until_recheck <= self.timing.late_head
                if is_soon or until_recheck <= 0:
                    yield Sleep(max(0.0, min(until_recheck, left)))  # the next keep-alive may come much later
                    record = yield from self._read_record()
                    if record is not None and record.is_terminal:
                        return record
                    read_at, interval = self.clock(), self._recheck_interval()
                    continue  # reading took some of the seconds that were left
                due_in = self.narrator.alive_due_in if event is None else self.narrator.progress_due_in
                events = yield Read(self.timing.silence, left, min(until_recheck, due_in))
                if events is None:
                    raise WhiteRabbitStreamError("the stream closed before the end")
                if events:  # of events that came together, an end counts, else only the last one
                    event = self.followed.end_among(events[:-1]) or events[-1]
                if event is not None:
                    snapshot, is_whole = self._parsed(event)
                    if snapshot.is_terminal:
                        return snapshot
                    event = None if is_whole else event
                self.narrator.tell_alive("the stream is alive")
        except (WhiteRabbitStreamError, WhiteRabbitTransportError) as error:
            if self.clock() - opened_at >= self.timing.stable_after:
                self.backoff.reset()
            self._survive(error)
        return None

    def _recheck_interval(self) -> float:
        """Return after how many seconds the record is read again although the stream lives."""
        return self.timing.recheck_after if self.is_up_to_date else self.backoff.next_pause()

    @property
    def _longest_interval(self) -> float:
        """Seconds between two reads of the record at most; fewer if the status is unknown, because it may be an end."""
        return self.timing.recheck_after if isinstance(self.narrator.status, Status) else self.backoff.poll_interval

    def _parsed(self, event: bytes) -> tuple[Snapshot, bool]:
        """Parse an event, and log its progress; return it, and whether all of it was parsed.

        Only its status is parsed if no line of the log is due: a large run's event takes milliseconds, and comes often.
        """
        if self.narrator.progress_due_in > 0:
            snapshot = self.followed.peek_of(event)
            if snapshot is not None and not snapshot.is_terminal and self.narrator.has_told(snapshot.status):
                self.narrator.tell_progress(snapshot)
                return snapshot, False
        snapshot = self.followed.event_of(event)
        self.narrator.tell_progress(snapshot)
        return snapshot, True

    def _survive(self, error: WhiteRabbitError) -> None:
        self.backoff.count(error)
        self.narrator.tell_trouble(error)

    def _check_deadline(self) -> None:
        if self.deadline.seconds_left > 0:
            return
        trouble = f" (the last failure: {self.backoff.error})" if self.backoff.error else ""
        status = status_text(self.narrator.status)
        if self.narrator.status is None:
            raise WhiteRabbitTimeoutError(
                f"{self.followed.name}: its status could not be read before the deadline, {self.deadline}{trouble}"
            )
        raise WhiteRabbitTimeoutError(
            f"{self.followed.name} had not ended at the deadline, {self.deadline}; its last known status is "
            f"{status}{trouble}. It may still be running at White Rabbit; it was not cancelled"
        )


def _is_end(record: Snapshot | None) -> bool:
    return record is not None and record.is_terminal
