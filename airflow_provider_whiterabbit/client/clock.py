"""The clock for durations; it is read when it is needed."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Return the seconds of a clock that never goes back and that neither freezegun nor time-machine stops.

    Only differences of its values mean anything.
    """
    return time.clock_gettime(time.CLOCK_MONOTONIC)
