"""Measures for how long one callback blocks an event loop."""

from __future__ import annotations

import gc
import itertools
import os
import selectors
import time
from collections.abc import Iterator
from typing import Any


class WatchedSelector(selectors.DefaultSelector):
    """An event loop's selector that measures how long the loop runs callbacks between two calls of `select`.

    While the loop runs one callback, no other callback runs: the callback blocks the loop. The callback does not cause
    the time of Python's garbage collector, so the selector reports that time separately. (A collection over everything
    that Airflow imports takes a tenth of a second.) On Linux the selector also subtracts the time for which the
    operating system ran other threads on this core.
    """

    def __init__(self) -> None:
        super().__init__()
        self._core_waits = _core_wait_seconds()
        self._left_at, self._core_wait_then = time.perf_counter(), 0.0
        self._collecting = 0.0  # seconds of garbage collection since the last call of select
        self._collection_started = 0.0
        self._longest_block = self._longest_collection = 0.0
        gc.callbacks.append(self._on_collection)

    def _on_collection(self, phase: str, _: Any) -> None:
        if phase == "start":
            self._collection_started = time.perf_counter()
        else:
            self._collecting += time.perf_counter() - self._collection_started

    def select(self, timeout: float | None = None) -> Any:
        """Wait for events, and record the block that ends with this call."""
        block = time.perf_counter() - self._left_at - self._collecting
        if block > self._longest_block:
            core_wait = next(self._core_waits) - self._core_wait_then
            # The clock is read anew: a wait for the core after the first reading must not be subtracted from it.
            block = time.perf_counter() - self._left_at - self._collecting
            self._longest_block = max(self._longest_block, block - core_wait)
        self._longest_collection = max(self._longest_collection, self._collecting)
        try:
            return super().select(timeout)
        finally:
            self._left_at, self._core_wait_then = time.perf_counter(), next(self._core_waits)
            self._collecting = 0.0

    def include_core_waits(self) -> None:
        """Stop subtracting the time of other threads: reading that time costs as much as a small callback."""
        self._core_waits, self._core_wait_then = itertools.repeat(0.0), 0.0

    def reset(self) -> tuple[float, float]:
        """Return the seconds of the longest block and of the longest collection, and set both to zero."""
        longest = self._longest_block, self._longest_collection
        self._longest_block = self._longest_collection = 0.0
        return longest


def _core_wait_seconds() -> Iterator[float]:
    """Yield the seconds for which this thread was ready but waited for a core (Linux, ``sched-stats.rst``)."""
    try:
        schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        yield from itertools.repeat(0.0)
    while True:
        yield int(os.pread(schedstat, 100, 0).split()[1]) / 1e9
