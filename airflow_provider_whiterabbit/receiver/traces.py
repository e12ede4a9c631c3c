"""Tracebacks in the log, a few of many: callbacks can fail alike for as long as the database is down."""

from __future__ import annotations

import time
from collections.abc import Callable

TRACE_INTERVAL = 5.0
"""Seconds between two tracebacks of failures at one place."""


class Traces:
    """Decides which failures at one place get a traceback in the log; each of them gets a line.

    :param clock: returns the time in seconds, from any start.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")

    def is_due(self) -> bool:
        """Return whether the failure that has just happened gets a traceback."""
        if self._clock() < self._next:
            return False
        self._next = self._clock() + TRACE_INTERVAL
        return True
