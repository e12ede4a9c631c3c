"""Simulated outages: the emulator refuses connections, or resets connections as soon as they are accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from airflow_provider_whiterabbit.emulator.plumbing.listener import Listener


class Outages:
    """Begins and ends simulated outages of the emulator. All methods must be called in the emulator's event loop.

    :param listener: accepts or refuses the connections.
    :param drop_requests: cancels all requests but the one that begins the outage.
    """

    def __init__(self, listener: Listener, drop_requests: Callable[[], Awaitable[None]]) -> None:
        self._listener = listener
        self._drop_requests = drop_requests
        self._scheduled_end: asyncio.Task[None] | None = None

    async def pause(self, seconds: float | None = None) -> None:
        """Begin a simulated outage: refuse new connections and reset open connections.

        :param seconds: the outage ends after that time; None for an outage until `resume`.
        """
        await self.refuse()
        await self._drop_requests()
        await self._listener.close_connections(with_reset=True)
        if seconds is not None:
            self._scheduled_end = asyncio.create_task(self._end_after(seconds))

    async def refuse(self) -> None:
        """Refuse new TCP connections. Connections that are already open stay open."""
        self.cancel_scheduled_end()
        await self._listener.close()

    async def resume(self) -> None:
        """End a simulated outage: accept connections again, on the same port. Nothing happens without an outage.

        :raises OSError: if another program has taken the port.
        """
        self.cancel_scheduled_end()
        await self._listener.reopen()

    def cut_connections(self, count: int) -> None:
        """Reset the next `count` TCP connections as soon as they are accepted.

        :raises ValueError: if `count` is negative.
        """
        if count < 0:
            raise ValueError("count must not be negative")
        self._listener.connections_to_reset = count

    def cancel_scheduled_end(self) -> None:
        """Let the current outage last until `resume` is called, even if `pause` was called with a number of seconds."""
        if self._scheduled_end is not None:
            self._scheduled_end.cancel()
            self._scheduled_end = None

    async def _end_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._scheduled_end = None
        await self._listener.reopen()
