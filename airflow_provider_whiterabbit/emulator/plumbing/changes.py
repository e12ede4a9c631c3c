"""`Changes`: coroutines wait for a condition to become true, without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes coroutines that wait for a condition. All waiting coroutines must run in one event loop."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Let every coroutine that waits in `until` check its condition again."""
        for waiter in self._waiters:
            _wake(waiter)

    def notify_from_any_thread(self) -> None:
        """Do the same from a thread that may be another one than that of the event loop."""
        for waiter in tuple(self._waiters):
            waiter.get_loop().call_soon_threadsafe(_wake, waiter)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the function `condition` returns True; `condition` is called at once and after each `notify`."""
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                if not condition():  # another thread may have changed it before it could see the waiter
                    await waiter
            finally:
                self._waiters.discard(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
