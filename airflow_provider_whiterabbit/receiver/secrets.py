"""The callback secrets of the connections that are served, kept for a moment.

Anyone can make the receiver look for a secret. So it looks once in a while, for one caller on behalf of all, and only
for connections that the configuration names.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

from airflow_provider_whiterabbit.get_provider_info import CONNECTION_TYPE

log = logging.getLogger(__name__)

LIFETIME = 30.0
"""Seconds for which a secret is kept; a changed one counts from then on."""

FAILURE_LIFETIME = 5.0
"""Seconds for which it is kept in mind that the connection can't be read."""


class Secrets:
    """Reads secrets in threads, and keeps them.

    :param connections: ids of the connections.
    """

    def __init__(self, connections: Iterable[str], threads: Executor) -> None:
        self._threads = threads
        self._kept = {connection: _Kept() for connection in connections}

    async def get(self, connection_id: str) -> str | None:
        """Return a connection's callback secret; None if it has none.

        :raises Exception: whatever keeps the connection from being read, such as a database that is down.
        """
        kept = self._kept[connection_id]
        if kept.reading is None and time.monotonic() >= kept.until:
            kept.reading = asyncio.ensure_future(self._read(connection_id, kept))
        if kept.reading is not None:
            await asyncio.shield(kept.reading)  # others wait for it too
        if isinstance(kept.found, Exception):
            raise kept.found
        return kept.found

    async def _read(self, connection_id: str, kept: _Kept) -> None:
        try:
            kept.found = await asyncio.get_running_loop().run_in_executor(self._threads, read_secret, connection_id)
        except Exception as error:
            kept.found = error
        lifetime = FAILURE_LIFETIME if isinstance(kept.found, Exception) else LIFETIME
        kept.until = time.monotonic() + lifetime
        kept.reading = None


@dataclass
class _Kept:
    reading: asyncio.Future[None] | None = None
    until: float = float("-inf")
    found: str | Exception | None = None


def read_secret(connection_id: str) -> str | None:
    """Read a connection's callback secret, and keep it out of the logs from now on; None if there is none."""
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, mask_secret

    try:
        connection = Connection.get_connection_from_secrets(connection_id)
    except AirflowNotFoundException:
        log.warning("Callbacks for %s are refused: there is no such connection", connection_id)
        return None
    secret = connection.extra_dejson.get("callback_secret") if connection.conn_type == CONNECTION_TYPE else None
    if not isinstance(secret, str) or not secret:
        log.warning("Callbacks for %s are refused: it has no callback_secret, or is of another type", connection_id)
        return None
    mask_secret(secret)
    return secret
