"""The clients of a hook: what reads the Airflow connection, and opens and closes the hook's own connections."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

from airflow_provider_whiterabbit.compat import BaseHook
from airflow_provider_whiterabbit.hooks.connection import check_conn_id, secrets_of, settings_of
from airflow_provider_whiterabbit.hooks.secret_values import SecretReadingMixin
from airflow_provider_whiterabbit.masking import masked as masked  # with it, errors hide what Airflow knows

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
    from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
    from airflow_provider_whiterabbit.client.transport.sync import Client
    from airflow_provider_whiterabbit.client.wait.timing import Timing


class ConnectedHook(SecretReadingMixin, BaseHook):
    """Base class of the hook: it has a client with the credentials of an Airflow connection."""

    whiterabbit_conn_id: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that the hook keeps alive. A later call opens new ones."""
        client: Client | None = vars(self).get("_client")
        if client is not None:
            client.close()

    @cached_property
    def timing(self) -> Timing:
        """Time limits and pauses of waits and retries; to be set before the hook's first call."""
        from airflow_provider_whiterabbit.client.wait.timing import DEFAULT_TIMING

        return DEFAULT_TIMING

    def get_conn(self) -> Client:
        """Return the hook's blocking client of White Rabbit's API; each call returns the same client."""
        return self._client

    async def get_async_client(self) -> AsyncClient:
        """Return an asynchronous client of White Rabbit's API for triggers, to be used in an ``async with``."""
        from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
        from airflow_provider_whiterabbit.hooks.reading import read_together

        read = partial(read_together, self, self.whiterabbit_conn_id)
        return AsyncClient(await read(), self.timing, read_again=read)

    @property
    def _known_base_url(self) -> str | None:
        """The base URL of White Rabbit's API; None if the hook has not read its connection."""
        client: Client | None = vars(self).get("_client")
        settings: ClientSettings | None = vars(self).get("_settings") if client is None else client.settings
        return None if settings is None else settings.base_url

    @cached_property
    def _client(self) -> Client:
        from airflow_provider_whiterabbit.client.transport.sync import Client

        return Client(self._settings, self.timing, read_again=partial(self._read_settings, self.whiterabbit_conn_id))

    @cached_property
    def _settings(self) -> ClientSettings:
        return self._read_settings(self.whiterabbit_conn_id)

    @classmethod
    def _read_settings(cls, connection_id: str) -> ClientSettings:
        from airflow_provider_whiterabbit.compat import mask_secret

        check_conn_id(connection_id)
        connection = cls.get_connection(connection_id)
        extra = connection.extra_dejson
        for secret in secrets_of(connection, extra):
            mask_secret(secret)
        return settings_of(connection, extra)
