"""An event loop whose clock is simulated, so that an hour of waits takes no time."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer as soon as no callback is ready.

    Sockets are real. Data that is sent over the loopback interface arrives before the loop looks for it, so the clock
    does not jump past it. The clock stands still while a thread of `run_in_executor` runs.
    """

    def __init__(self) -> None:
        self.now = 0.0  # a small start value, so that rounding loses no timer
        self._running_threads = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self.now

    def run_in_executor(self, executor: Any, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        """Run a function in a thread and stop the clock until it returns."""
        self._running_threads += 1
        future = super().run_in_executor(executor, function, *arguments)
        future.add_done_callback(self._thread_returned)
        return future

    def _thread_returned(self, _: Any) -> None:
        self._running_threads -= 1

    def jump(self, seconds: float | None) -> bool:
        """Advance the clock unless a thread is running or no timer is set (None); return whether the clock advanced."""
        if seconds is None or self._running_threads:
            return False
        self.now += seconds
        return True


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that advances the simulated clock instead of sleeping."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        return super().select(0) or (() if self._loop.jump(timeout) else super().select(0.05))
