"""The moment at which a wait for an execution or workflow run gives up."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


def wall() -> float:
    """Return the time of the wall clock, in Unix seconds."""
    return time.time()


class Deadline:
    """When a wait gives up, by the wall clock, because a wait outlives processes.

    The monotonic clock bounds the wait too, so that the wait ends although the wall clock is set back or stands still.

    :param at: Unix seconds; None for a wait that never gives up.
    :param wall: returns the time of the wall clock, in Unix seconds.
    :param clock: returns the seconds of a monotonic clock.
    """

    __slots__ = ("_at", "_clock", "_ends", "_wall")

    def __init__(self, at: float | None, wall: Callable[[], float], clock: Callable[[], float]) -> None:
        self._at = float("inf") if at is None else at
        self._wall = wall
        self._clock = clock
        self._ends = clock() + (self._at - wall())

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline; negative after the deadline, and infinite without a deadline."""
        return min(self._at - self._wall(), self._ends - self._clock())

    def __str__(self) -> str:
        """Return the deadline as a UTC time for a message."""
        try:
            return datetime.fromtimestamp(self._at, UTC).isoformat(" ", "seconds")
        except (ValueError, OverflowError, OSError):  # beyond the calendar
            return f"Unix time {self._at:g}"
