"""The turns of callbacks: one connection after the other, at intervals, and a few at once."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Gives turns to callbacks. Connections take turns with each other, and each connection's callbacks in their order.

    A connection whose callbacks arrive faster than they are answered therefore delays its own callbacks only. The
    methods belong to one event loop.

    :param interval: seconds between the beginnings of two turns.
    :param at_once: how many turns there are at once.
    """

    def __init__(self, interval: float, at_once: int) -> None:
        self._interval = interval
        self._free = at_once
        self._next = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # in the order in which connections get a turn

    async def begin(self, connection_id: str) -> None:
        """Wait for a turn of a connection's callback; `end` must be called after it, unless this call is cancelled."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(connection_id, deque()).append(turn)
        self._give()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn and the cancellation came at the same time
                self.end()
            raise

    def end(self) -> None:
        """End a turn."""
        self._free += 1
        self._give()

    def _give(self) -> None:
        """Give the turns that can begin now, and set a timer for the next one."""
        loop = asyncio.get_running_loop()
        while self._free and self._timer is None and (turn := self._first()):
            if self._next > loop.time():
                self._timer = loop.call_at(self._next, self._tick)
                return
            connection_id = next(iter(self._waiting))
            turns = self._waiting.pop(connection_id)
            turns.popleft()
            if turns:
                self._waiting[connection_id] = turns  # behind the other connections
            self._free -= 1
            self._next = loop.time() + self._interval
            turn.set_result(None)

    def _tick(self) -> None:
        self._timer = None
        self._give()

    def _first(self) -> asyncio.Future[None] | None:
        """Return the turn to be given next, after removing those that were given up; None if nobody waits."""
        while self._waiting:
            connection_id, turns = next(iter(self._waiting.items()))
            while turns and turns[0].done():
                turns.popleft()
            if turns:
                return turns[0]
            del self._waiting[connection_id]
        return None
