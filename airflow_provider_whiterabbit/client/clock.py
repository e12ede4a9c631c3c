"""The clock for durations. Deadlines that outlive a process are Unix seconds, from `time.time`."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Return the seconds of a clock that never jumps and never stops.

    Libraries that freeze or shift time in tests replace `time.monotonic`, and not this clock, so a limit of time also
    ends under a frozen clock.
    """
    return time.clock_gettime(time.CLOCK_MONOTONIC)
