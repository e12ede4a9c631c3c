"""The clock that measures durations. It runs on when a test freezes the time of day."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Return the seconds of the system's monotonic clock, which freezegun and time-machine leave alone."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)
