"""A cache of the callback secrets of the Airflow connections whose callbacks the receiver accepts.

Anyone can send a request that makes the receiver look up a secret. The cache therefore reads the secret of a connection
at most once in `SECRET_LIFETIME` seconds, and only for connections that the configuration names.

Senders take a status 4xx for final, so an outage here must not look like a wrong signature: the cache keeps a secret as
long as its source cannot be read, and says so, and a connection counts as missing only if Airflow's sources show it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_whiterabbit.client.transport.connection_settings import callback_secrets
from airflow_provider_whiterabbit.get_provider_info import CONNECTION_TYPE
from airflow_provider_whiterabbit.hooks.connection import secrets_of

if TYPE_CHECKING:
    from airflow.models.connection import Connection

log = logging.getLogger(__name__)

SECRET_LIFETIME = 30.0
"""Seconds after which the cache reads a callback secret again, and so notices a changed secret."""

FAILURE_LIFETIME = 5.0
"""Seconds after which the cache tries again to read a callback secret that could not be read."""

KEPT_AFTER = 2.0
"""Seconds that a callback waits for a secret to be read again, before the receiver uses the one that it has kept."""


class SecretUnavailableError(Exception):
    """Raised if a callback secret cannot be read now."""


Secrets = tuple[str, ...]
"""The callback secrets of a connection. White Rabbit may have signed with any of them."""


def read_secret(connection_id: str) -> Secrets | None:
    """Return a connection's callback secrets, and mask them in the logs; None, with a warning, if there are none.

    :raises WhiteRabbitConfigError: if the field with the secrets is not valid.
    :raises Exception: if a source of connections cannot be read; see `read_connection`.
    """
    from airflow_provider_whiterabbit.compat import mask_secret

    connection = read_connection(connection_id)
    if connection is None:
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


def read_connection(connection_id: str) -> Connection | None:
    """Return an Airflow connection; None if there is none, which only the environment and the database can show.

    Airflow's own function takes a source that is down for one without the connection, and goes on to the next source.

    :raises SecretUnavailableError: if no source has the connection, and one of them is another secrets backend: many
        of these answer that they have nothing while they are down.
    :raises Exception: any error of a source, such as that of a database that is down.
    """
    from airflow.configuration import ensure_secrets_loaded
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend
    from airflow.secrets.metastore import MetastoreBackend

    backends = ensure_secrets_loaded()
    for backend in backends:
        connection: Connection | None = backend.get_connection(conn_id=connection_id)
        if connection:
            return connection
    for backend in backends:
        if type(backend) not in (EnvironmentVariablesBackend, MetastoreBackend):
            raise SecretUnavailableError(f"{type(backend).__name__} has no such connection, or is down")
    return None


@dataclass(frozen=True, slots=True)
class KnownSecrets:
    """The callback secrets of a connection.

    :param values: None if the connection has no callback secret.
    :param is_kept: whether the secrets are earlier ones, because their source cannot be read now.
    """

    values: Secrets | None
    is_kept: bool


class SecretCache:
    """Reads callback secrets in threads, and keeps each secret for `SECRET_LIFETIME` seconds, in an outage for longer.

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

    async def get(self, connection_id: str) -> KnownSecrets:
        """Return a connection's callback secrets.

        :raises SecretUnavailableError: if the secret cannot be read, and the cache has kept none.
        """
        cached = self._cached[connection_id]
        if self._clock() >= cached.expires_at:
            if cached.refresh is None:
                cached.refresh = asyncio.ensure_future(self._refresh(connection_id, cached))
            # Other callers wait for the same refresh, and the first of them that gives up stops the others.
            done, _ = await asyncio.wait([cached.refresh], timeout=KEPT_AFTER if cached.value else None)
            if not done and self._clock() >= cached.expires_at:
                self._note_failure(connection_id, cached, TimeoutError("the source does not answer"))
        if cached.value is None and cached.unreadable_since is not None:
            raise SecretUnavailableError(f"the callback secret of connection {connection_id} cannot be read")
        return KnownSecrets(cached.value, is_kept=cached.unreadable_since is not None)

    async def _refresh(self, connection_id: str, cached: _CachedSecret) -> None:
        started = self._clock()  # the secret may change while the source answers
        try:
            cached.value = await asyncio.get_running_loop().run_in_executor(self._threads, self._read, connection_id)
        except Exception as error:
            if isinstance(error, SecretUnavailableError):  # no source is known to be down: it may be withdrawn
                cached.value = None
            self._note_failure(connection_id, cached, error)
        else:
            cached.expires_at = started + SECRET_LIFETIME
            cached.unreadable_since = None
        cached.refresh = None

    def _note_failure(self, connection_id: str, cached: _CachedSecret, error: Exception) -> None:
        """Note that a secret could not be read; log the first failure in full, and the next ones in a line each."""
        message = "The callback secret of connection %s cannot be read now: %s"
        log.error(message, connection_id, error, exc_info=error if cached.unreadable_since is None else None)
        now = self._clock()
        cached.expires_at = now + FAILURE_LIFETIME
        if cached.unreadable_since is None:
            cached.unreadable_since = now


@dataclass
class _CachedSecret:
    value: Secrets | None = None
    expires_at: float = float("-inf")
    unreadable_since: float | None = None
    """Time of the cache's clock, in seconds, at which the first of the latest failures happened."""
    refresh: asyncio.Future[None] | None = None
