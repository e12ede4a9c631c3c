"""Counts how many of many executions have ended, and logs it: few lines, however many executions there are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.wait.followed import Snapshot
from airflow_provider_whiterabbit.client.wait.narrator import Narrator, Troubles
from airflow_provider_whiterabbit.client.wait.timing import Timing

log = logging.getLogger(__name__)


class Tally:
    """The ends of the executions that one task waits for. As text: ``412 of 1,000 ended, 3 failed, 27.5 credits``.

    :param count: how many executions there are.
    :param clock: returns the seconds of a monotonic clock.
    """

    __slots__ = ("_clock", "_count", "_ended", "_failed", "_timing", "_told", "_told_at", "_troubles", "credits")

    def __init__(self, count: int, timing: Timing, clock: Callable[[], float] = monotonic) -> None:
        self._count = count
        self._timing = timing
        self._clock = clock
        self._ended = self._failed = 0
        self.credits: float | None = None
        """The number of credits that the ended ones have spent; None if it is not known of any."""
        self._told = ""
        self._told_at = clock()
        self._troubles: Troubles = {}

    def __str__(self) -> str:
        parts = [f"{self._ended:,} of {self._count:,} ended", f"{self._failed:,} failed"]
        if self.credits is not None:
            parts.append(f"{self.credits:,.12g} credits")
        return ", ".join(parts)

    def narrator(self, name: str) -> Narrator:
        """Return what writes the log of one of the waits: only its troubles, each kind of them once for all waits.

        :param name: what messages call the execution.
        """
        return _TroubleNarrator(name, self._timing, self._clock, troubles=self._troubles)

    def count(self, end: Any) -> None:
        """Count an end.

        :param end: the record of an execution that has ended, or the part of it that has the credits.
        """
        self._ended += 1
        self._failed += not end.succeeded
        if end.total_usage is not None:
            self.credits = (self.credits or 0.0) + end.total_usage

    def tell(self) -> None:
        """Log how many have ended, if more have since the last line or if the last line was long ago."""
        text, now = str(self), self._clock()
        if text != self._told:
            log.info("Executions: %s", text)
        elif now - self._told_at >= self._timing.alive_interval:
            log.info("Executions: still %s", text)
        else:
            return
        self._told, self._told_at = text, now


class _TroubleNarrator(Narrator):
    """Keeps the last known status, and logs nothing but troubles."""

    __slots__ = ()

    @property
    def progress_due_in(self) -> float:
        return float("inf")

    @property
    def alive_due_in(self) -> float:
        return float("inf")

    def has_told(self, status: Any) -> bool:
        return True

    def tell_progress(self, snapshot: Snapshot) -> None:
        self.status = snapshot.status
