"""Outages: connections that are refused, or cut as soon as they are accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from airflow_provider_whiterabbit.emulator.plumbing.listener import Listener


class Outages:
    """What comes between clients and the server. Belongs to one event loop.

    :param listener: accepts the connections.
    :param drop: gives up all requests but the one that asks for it.
    """

    def __init__(self, listener: Listener, drop: Callable[[], Awaitable[None]]) -> None:
        self._listener = listener
        self._drop = drop
        self._ending: asyncio.Task[None] | None = None

    async def pause(self, seconds: float | None = None) -> None:
        """Refuse connections and cut the open ones, for that many seconds or until `resume`."""
        await self.refuse()
        await self._drop()
        await self._listener.hang_up(rudely=True)
        if seconds is not None:
            self._ending = asyncio.create_task(self._end(seconds))

    async def refuse(self) -> None:
        """Refuse connections from now on. The open ones stay."""
        self.forget()
        await self._listener.close()

    async def resume(self) -> None:
        """Accept connections again, on the same port; no error if it never stopped.

        :raises OSError: if someone else has taken the port.
        """
        self.forget()
        await self._listener.reopen()

    def cut_connections(self, count: int) -> None:
        """Cut the next connections as soon as they are accepted.

        :raises ValueError: if `count` is negative.
        """
        if count < 0:
            raise ValueError("count must not be negative")
        self._listener.to_cut = count

    def forget(self) -> None:
        """Let an outage not end by itself."""
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    async def _end(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._ending = None
        await self._listener.reopen()
