"""What the receiver's health page shows: the connections whose callbacks are received, and which can't be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal, TypedDict, TypeVar

S = TypeVar("S")

State = Literal["readable", "no_secret", "unreadable", "unread"]

LOOK_UP_TIMEOUT = 0.5
"""Seconds that the health page waits for the secrets, before it shows what is known of them.

Shorter than the time-outs of probes (Kubernetes: 1 second), which would restart an API server whose database is down.
"""

READ_TIMEOUT = timedelta(seconds=5)
"""How long the reading of a secret may take before the health page calls the connection unreadable."""


class ConnectionHealth(TypedDict):
    """The state of one connection.

    `state` is ``readable``; ``no_secret`` if the connection does not exist, is of another type, or has no secret;
    ``unreadable`` if the place where Airflow keeps it does not answer; ``unread`` if nothing was read yet.
    `since` is the ISO 8601 time, in UTC, at which this process first saw that state; None for ``unread``. A connection
    is ``unreadable`` since the beginning of the first reading that failed or took too long.
    """

    state: State
    since: str | None


class Health:
    """Remembers how the latest reading of each connection's callback secret went. It keeps no secret.

    :param connections: ids of the connections whose callbacks are received.
    :param now: returns the time.
    """

    def __init__(self, connections: Iterable[str], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._connections: dict[str, ConnectionHealth] = {
            connection_id: {"state": "unread", "since": None} for connection_id in sorted(connections)
        }
        self._reading_since: dict[str, datetime] = {}
        self._look_up: asyncio.Task[None] | None = None

    def watching(self, read: Callable[[str], S]) -> Callable[[str], S]:
        """Return a function that reads a connection's secret with `read`, and notes how that went.

        :param read: returns something empty if the connection has no secret; raises if it can't be read.
        """

        def read_and_note(connection_id: str) -> S:
            started = self._reading_since[connection_id] = self._now()
            try:
                secret = read(connection_id)
            except Exception:
                self._note(connection_id, "unreadable", started)
                raise
            finally:
                del self._reading_since[connection_id]
            self._note(connection_id, "readable" if secret else "no_secret", self._now())
            return secret

        return read_and_note

    def _note(self, connection_id: str, state: State, since: datetime) -> None:
        if self._connections[connection_id]["state"] != state:
            self._connections[connection_id] = {"state": state, "since": since.isoformat(timespec="milliseconds")}

    async def report(self, get_secret: Callable[[str], Awaitable[object]]) -> dict[str, object]:
        """Return what the health page shows, after looking up the secrets, or after `LOOK_UP_TIMEOUT`.

        :param get_secret: looks up a secret through the receiver's cache, so that reports cost no more than callbacks.
        """
        if self._look_up is None or self._look_up.done():
            self._look_up = asyncio.ensure_future(self._look_up_all(get_secret))
        await asyncio.wait([self._look_up], timeout=LOOK_UP_TIMEOUT)
        for connection_id, since in list(self._reading_since.items()):
            if self._now() - since > READ_TIMEOUT:
                self._note(connection_id, "unreadable", since)
        healthy = all(connection["state"] == "readable" for connection in self._connections.values())
        return {"status": "healthy" if healthy else "degraded", "connections": self._connections}

    async def _look_up_all(self, get_secret: Callable[[str], Awaitable[object]]) -> None:
        for connection_id in self._connections:  # one after the other: the receiver has only a few threads
            try:
                await get_secret(connection_id)
            except Exception:  # noqa: S112 (`read_and_note` has noted it, and the receiver logs it for callbacks)
                continue
