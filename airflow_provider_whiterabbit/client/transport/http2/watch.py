"""Finds out whether a connection on which nothing arrives is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Watch:
    """Asks the other side for a sign of life if nothing arrived for a third of the limit; waits as long for it.

    :param silence: seconds within which a connection that went silent is found dead.
    :param ask: sends a PING.
    :param lose: is called once if the connection is dead, with the seconds of its silence.
    """

    __slots__ = ("_ask", "_asked_at", "_heard_at", "_loop", "_lose", "_patience", "_timer")

    def __init__(self, silence: float, ask: Callable[[], None], lose: Callable[[float], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience = silence / 3
        self._ask = ask
        self._lose = lose
        self._heard_at = self._loop.time()
        self._asked_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def heard(self) -> float:
        """Take note that something arrived; return when, by the event loop's clock."""
        self._heard_at, self._asked_at = self._loop.time(), None
        return self._heard_at

    def check(self) -> None:
        """Look now, and then whenever it may be time to ask or to give up."""
        now = self._loop.time()
        if self._asked_at is not None and now - self._asked_at >= self._patience:
            self._lose(now - self._heard_at)
            return
        if self._asked_at is None and now - self._heard_at >= self._patience:
            # If the process was suspended, the answer to this has its time nevertheless.
            self._asked_at = now
            self._ask()
        since = self._heard_at if self._asked_at is None else self._asked_at
        self._timer = self._loop.call_at(since + self._patience, self.check)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
