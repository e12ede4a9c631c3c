"""Log messages of a wait for an execution or workflow run: few lines, however long the wait and its troubles last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from airflow_provider_whiterabbit.client.records.status import Status, status_text
from airflow_provider_whiterabbit.client.wait import deadline
from airflow_provider_whiterabbit.client.wait.followed import Snapshot
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitResponseError

log = logging.getLogger(__name__)

MAX_KINDS = 20
"""How many kinds of failures of one wait are told apart: an error's code can be anything."""


Troubles: TypeAlias = dict[Hashable, tuple[float, int]]
"""By the kind of failure: when it was logged, and how many were not logged since."""


class Narrator:
    """Logs the progress and the failures of a wait for an execution or workflow run, and keeps the last known status.

    Each status is logged once; other progress at most every `Timing.progress_interval`; that the wait goes on, every
    `Timing.alive_interval` without such a line; failures of the same kind at most every `Timing.trouble_interval`.
    Failures are of the same kind if class, HTTP status and error codes are equal: texts may hold ids that differ from
    answer to answer.

    :param name: what messages call the execution or run.
    :param clock: returns the seconds of a monotonic clock.
    :param wall: returns the time of the wall clock, in Unix seconds.
    :param troubles: which failures were logged when, if several waits share it; each kind is then logged once for all.
    """

    __slots__ = (
        "_clock",
        "_created_at",
        "_looked_at",
        "_name",
        "_progress",
        "_statuses",
        "_timing",
        "_told_at",
        "_troubles",
        "_wall",
        "status",
    )

    def __init__(
        self,
        name: str,
        timing: Timing,
        clock: Callable[[], float],
        wall: Callable[[], float] = deadline.wall,
        troubles: Troubles | None = None,
    ) -> None:
        self._name = name
        self._timing = timing
        self._clock = clock
        self._wall = wall
        self._created_at: Any = None
        self._progress = ""
        self._looked_at = float("-inf")
        self._told_at = clock()
        self._statuses: list[Status] = []
        self._troubles: Troubles = {} if troubles is None else troubles
        self.status: Any = None
        """The last known status of the execution or workflow run; None if no status was read."""

    @property
    def progress_due_in(self) -> float:
        """Seconds until progress with the same status may be logged again; 0 if it may."""
        return max(0.0, self._looked_at + self._timing.progress_interval - self._clock())

    @property
    def alive_due_in(self) -> float:
        """Seconds until `tell_alive` logs something; 0 if it does now."""
        return max(0.0, self._told_at + self._timing.alive_interval - self._clock())

    def has_told(self, status: Any) -> bool:
        """Whether this status was logged, so that its progress can wait until a line is due."""
        return status in self._statuses

    def tell_progress(self, snapshot: Snapshot) -> None:
        """Log the progress of the execution or workflow run, if there is any, and if a line is due."""
        status = self.status = snapshot.status
        self._created_at = getattr(snapshot, "created_at", None) or self._created_at
        if not isinstance(status, Status):  # unknown: the parser has warned
            return
        if status in self._statuses and (status is not self._statuses[-1] or self.progress_due_in > 0):
            return  # behind what was told, or too soon
        self._looked_at = self._clock()
        if status not in self._statuses:
            self._statuses.append(status)
        if snapshot.progress != self._progress:
            self._progress = snapshot.progress
            self._told_at = self._clock()
            log.info("%s: %s%s", self._name, snapshot.progress, self._age(snapshot))

    def tell_alive(self, sign_of_life: str) -> None:
        """Log that the wait goes on, if nothing was logged for a long time.

        :param sign_of_life: what was just seen, as the end of a sentence.
        """
        if self.alive_due_in > 0:
            return
        self._told_at = self._clock()
        if self.status is None:
            log.info("%s: its status is not known yet; %s", self._name, sign_of_life)
            return
        state = self._progress if isinstance(self.status, Status) else status_text(self.status)
        log.info("%s: still %s; %s", self._name, f"{state}{self._age_now()}", sign_of_life)

    def tell_trouble(self, error: WhiteRabbitError) -> None:
        """Log a failure that does not end the wait, unless one of its kind was logged a short time ago."""
        if (repeated := self._repeated("trouble", error)) is not None:
            log.warning("%s: %s; the wait continues%s", self._name, error, repeated)

    def tell_polling(self, error: WhiteRabbitError, poll_interval: float) -> None:
        """Log that White Rabbit refused the event stream, so that the wait polls the record."""
        if (repeated := self._repeated("polling", error)) is not None:
            log.warning(
                "%s: the stream was refused (%s); polling every %g s%s", self._name, error, poll_interval, repeated
            )

    def _repeated(self, what: str, error: WhiteRabbitError) -> str | None:
        """Return what to append to the line about a failure; None if no line is due."""
        kind: Hashable = (what, type(error))
        if isinstance(error, WhiteRabbitResponseError):
            kind = (what, type(error), error.status, error.codes)
        if kind not in self._troubles and len(self._troubles) >= MAX_KINDS:
            kind = "others"
        told_at, withheld = self._troubles.get(kind, (float("-inf"), 0))
        if self._clock() - told_at < self._timing.trouble_interval:
            self._troubles[kind] = (told_at, withheld + 1)
            return None
        self._troubles[kind] = (self._clock(), 0)
        return f" ({withheld} more failures of this kind since the last message)" if withheld else ""

    def _age_now(self) -> str:
        """Return how long ago the execution or workflow run was created, for the log.

        This machine's clock is good enough: it is within five minutes of White Rabbit's, or no request is accepted.
        """
        try:
            minutes = (self._wall() - self._created_at.timestamp()) / 60
        except (AttributeError, ValueError, OverflowError):  # unknown, or beyond the calendar
            return ""
        hours, minutes = divmod(max(0, round(minutes)), 60)
        return f", {hours} h {minutes} min after it was created" if hours else f", {minutes} min after it was created"

    def _age(self, snapshot: Snapshot) -> str:
        """Return the age of the execution or workflow run at its last update, by White Rabbit's clock, for the log."""
        if self._created_at is None or snapshot.updated_at is None:
            return ""
        try:
            age = (snapshot.updated_at - self._created_at).total_seconds()
        except (ValueError, OverflowError):  # times at the ends of the calendar; a line of the log must not fail a wait
            return ""
        return f", {age:.1f} s after it was created"
