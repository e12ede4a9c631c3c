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

from airflow_provider_whiterabbit.client.transport.connection_settings import callback_secrets
from airflow_provider_whiterabbit.get_provider_info import CONNECTION_TYPE
from airflow_provider_whiterabbit.hooks.connection import secrets_of

log = logging.getLogger(__name__)

SECRET_LIFETIME = 30.0
"""Seconds after which the cache reads a callback secret again, and so notices a changed secret."""

FAILURE_LIFETIME = 5.0
"""Seconds after which the cache tries again to read a callback secret that could not be read."""


Secrets = tuple[str, ...]
"""The callback secrets of a connection. White Rabbit may have signed with any of them."""


def read_secret(connection_id: str) -> Secrets | None:
    """Return a connection's callback secrets, and mask them in the logs; None, with a warning, if there are none.

    :raises WhiteRabbitConfigError: if the field with the secrets is not valid.
    """
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, mask_secret

    try:
        connection = Connection.get_connection_from_secrets(connection_id)
    except AirflowNotFoundException:
        log.warning("Callbacks for %s are refused: there is no such connection", connection_id)
        return None
    extra = connection.extra_dejson if connection.conn_type == CONNECTION_TYPE else {}
    for secret in secrets_of(connection, extra):
        mask_secret(secret)
    secrets = callback_secrets(extra.get("callback_secret"))
    if not secrets:
        log.warning(
            "Callbacks for %s are refused: the connection has no callback_secret, or is not of type %s",
            connection_id,
            CONNECTION_TYPE,
        )
        return None
    return secrets


class SecretCache:
    """Reads callback secrets in threads, and keeps each secret for `SECRET_LIFETIME` seconds.

    :param connections: ids of the connections.
    :param threads: the threads that read.
    :param read: reads the secrets of a connection, by its id; None if the connection has no secret.
    :param clock: returns the time in seconds, from any start.
    """

    def __init__(
        self,
        connections: Iterable[str],
        threads: Executor,
        *,
        read: Callable[[str], Secrets | None] = read_secret,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threads = threads
        self._read = read
        self._clock = clock
        self._cached = {connection_id: _CachedSecret() for connection_id in connections}

    async def get(self, connection_id: str) -> Secrets | None:
        """Return a connection's callback secrets; None if the connection has no callback secret.

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
    secret: Secrets | Exception | None = None
    expires_at: float = float("-inf")
    refresh: asyncio.Future[None] | None = None
