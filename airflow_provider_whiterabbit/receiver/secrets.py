"""A cache of the callback secrets of the Airflow connections whose callbacks the receiver accepts.

Anyone can send a request that makes the receiver look up a secret. The cache therefore reads the secret of a connection
at most once in `SECRET_LIFETIME` seconds, and only for connections that the configuration names.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

from airflow_provider_whiterabbit.get_provider_info import CONNECTION_TYPE

log = logging.getLogger(__name__)

SECRET_LIFETIME = 30.0
"""Seconds after which the cache reads a callback secret again, and so notices a changed secret."""

FAILURE_LIFETIME = 5.0
"""Seconds after which the cache tries again to read a callback secret that could not be read."""


def read_secret(connection_id: str) -> str | None:
    """Return a connection's callback secret, and mask the secret in the logs; log a warning if there is no secret."""
    from airflow.models.connection import Connection

    from airflow_provider_whiterabbit.compat import AirflowNotFoundException, mask_secret

    try:
        connection = Connection.get_connection_from_secrets(connection_id)
    except AirflowNotFoundException:
        log.warning("Callbacks for %s are refused: there is no such connection", connection_id)
        return None
    secret = connection.extra_dejson.get("callback_secret") if connection.conn_type == CONNECTION_TYPE else None
    if not isinstance(secret, str) or not secret:
        log.warning(
            "Callbacks for %s are refused: the connection has no callback_secret, or is not of type %s",
            connection_id,
            CONNECTION_TYPE,
        )
        return None
    mask_secret(secret)
    return secret


class SecretCache:
    """Reads callback secrets in threads, and keeps each secret for `SECRET_LIFETIME` seconds.

    :param connections: ids of the connections.
    :param threads: the threads that read.
    :param read: reads the secret of a connection, by its id; None if the connection has no secret.
    :param clock: returns the time in seconds, from any start.
    """

    def __init__(
        self,
        connections: Iterable[str],
        threads: Executor,
        *,
        read: Callable[[str], str | None] = read_secret,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threads = threads
        self._read = read
        self._clock = clock
        self._cached = {connection_id: _CachedSecret() for connection_id in connections}

    async def get(self, connection_id: str) -> str | None:
        """Return a connection's callback secret; None if the connection has no callback secret.

        :raises Exception: any error of Airflow that prevents the reading, such as that of a database that is down.
        """
        cached = self._cached[connection_id]
        if cached.refresh is None and self._clock() >= cached.expires_at:
            cached.refresh = asyncio.ensure_future(self._refresh(connection_id, cached))
        if cached.refresh is not None:
            await asyncio.shield(cached.refresh)  # other callers wait for the same refresh
        if isinstance(cached.secret, Exception):
            raise cached.secret
        return cached.secret

    async def _refresh(self, connection_id: str, cached: _CachedSecret) -> None:
        try:
            cached.secret = await asyncio.get_running_loop().run_in_executor(self._threads, self._read, connection_id)
        except Exception as error:
            cached.secret = error
        lifetime = FAILURE_LIFETIME if isinstance(cached.secret, Exception) else SECRET_LIFETIME
        cached.expires_at = self._clock() + lifetime
        cached.refresh = None


@dataclass
class _CachedSecret:
    secret: str | Exception | None = None
    expires_at: float = float("-inf")
    refresh: asyncio.Future[None] | None = None
