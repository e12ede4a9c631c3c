"""`WhiteRabbitHook`: an Airflow connection turned into a client of White Rabbit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.get_provider_info import CONN_FIELDS, CONNECTION_TYPE, UI_FIELD_BEHAVIOUR
from airflow_provider_whiterabbit.hooks.connection import secrets_of, settings_of

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.aio import AsyncClient
    from airflow_provider_whiterabbit.client.models import Execution, ExecutionEvent
    from airflow_provider_whiterabbit.client.settings import ClientSettings
    from airflow_provider_whiterabbit.client.sync import Client


class WhiteRabbitHook(BaseHook):
    """Talks to White Rabbit with the credentials of an Airflow connection.

    Every method raises `WhiteRabbitConfigError` if the connection can't be used, `WhiteRabbitInputError` if an argument
    is wrong (both before anything is sent), `WhiteRabbitResponseError` if White Rabbit refuses,
    `WhiteRabbitTransportError` if it can't be reached, and `WhiteRabbitProtocolError` if it answers something that its
    API does not have.

    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``.
    """

    conn_name_attr = "whiterabbit_conn_id"
    default_conn_name = "whiterabbit_default"
    conn_type = CONNECTION_TYPE
    hook_name = "White Rabbit"

    def __init__(self, whiterabbit_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.whiterabbit_conn_id = whiterabbit_conn_id

    def execute_component(
        self,
        module: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002 (White Rabbit's word)
        config: Mapping[str, Any] | None = None,
        *,
        attempts: int | None = None,
        inline_wait: float | timedelta | None = None,
        callback_url: str | None = None,
        callback_secret: str | None = None,
        callback_headers: Mapping[str, str] | None = None,
    ) -> Execution:
        """Submit a component and return the execution's record; sent at most once.

        :param module: module name, as ``RANDOM_UUID``.
        :param input: inputs by name, JSON values. Integers beyond ±(2^53 - 1) must be passed as `str`.
        :param config: config by name, JSON values.
        :param attempts: server-side attempts on failure, 1 to 3.
        :param inline_wait: seconds or `timedelta`, 0 to 15, for which the server may wait for the result.
        :param callback_url: HTTPS URL that gets the finished record.
        :param callback_secret: HMAC-SHA256 key for that delivery; by default the connection's.
        :param callback_headers: extra headers for that delivery; by default the connection's (none: ``{}``).
        :raises WhiteRabbitUncertainSubmissionError: if it is not known whether the submission arrived. Look before you
            submit again.
        """
        from airflow_provider_whiterabbit.client import api

        if callback_url is not None:
            if callback_secret is None:
                callback_secret = self._settings.callback_secret
            if callback_headers is None:
                callback_headers = self._settings.callback_headers
        request = api.execute_component(
            module,
            input,
            config,
            attempts=attempts,
            inline_wait=inline_wait,
            callback_url=callback_url,
            callback_secret=callback_secret,
            callback_headers=callback_headers,
        )
        return self.get_conn().submit(request)

    def get_execution(self, execution_id: str) -> Execution:
        """Read an execution's record."""
        return self.get_conn().get_execution(execution_id)

    def stream_execution(self, execution_id: str) -> Iterator[ExecutionEvent]:
        """Yield an execution's events until it has ended or the server closes the stream.

        :raises WhiteRabbitStreamError: if the stream goes silent or holds something that is not an event.
        """
        return self.get_conn().stream_execution(execution_id)

    def wait_for_execution(
        self,
        execution_id: str,
        *,
        timeout: float | timedelta | None = None,
        poll_interval: float | timedelta = POLL_INTERVAL,
    ) -> Execution:
        """Wait on the stream until an execution has ended, well or not, and return its record.

        :param timeout: seconds or `timedelta`; `None` waits without end. It is kept to the second while the stream is
            alive, and to the request time-out when White Rabbit is out of reach.
        :param poll_interval: seconds or `timedelta` between two reads of the record where streaming is not to be had.
        :raises WhiteRabbitTimeoutError: when the time is up.
        """
        from airflow_provider_whiterabbit.client import checks

        return self.get_conn().wait_for_execution(
            execution_id,
            timeout=None if timeout is None else checks.seconds(timeout, "timeout"),
            poll_interval=checks.seconds(poll_interval, "poll_interval"),
        )

    def redeliver_callback(self, execution_id: str) -> None:
        """Have the callback of an execution delivered again."""
        from airflow_provider_whiterabbit.client import api

        self.get_conn().call(api.redeliver_callback(execution_id))

    def get_conn(self) -> Client:
        """Return the client (the same one each time)."""
        return self._client

    async def get_async_client(self) -> AsyncClient:
        """Return a client for triggers, to be used in an ``async with``."""
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

        from airflow_provider_whiterabbit.client.aio import AsyncClient

        connection = await get_async_connection(self.whiterabbit_conn_id, hook=self)
        extra = await get_async_extra_dejson(connection)
        await _mask_asynchronously(list(secrets_of(connection, extra)))
        return AsyncClient(settings_of(connection, extra))

    def test_connection(self) -> tuple[bool, str]:
        """Try key, signature and clock by reading an execution that does not exist; nothing is ever submitted."""
        from airflow_provider_whiterabbit.hooks.probe import probe

        return probe(self.get_conn)

    @cached_property
    def _client(self) -> Client:
        from airflow_provider_whiterabbit.client.sync import Client

        return Client(self._settings)

    @cached_property
    def _settings(self) -> ClientSettings:
        from airflow.providers.common.compat.sdk import mask_secret

        connection = self.get_connection(self.whiterabbit_conn_id)
        extra = connection.extra_dejson
        for secret in secrets_of(connection, extra):
            mask_secret(secret)
        return settings_of(connection, extra)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return what Airflow before 3.2 asks for; newer versions read the provider's metadata."""
        return {name.replace("-", "_"): value for name, value in UI_FIELD_BEHAVIOUR.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the form for Airflow before 3.2; newer versions read the provider's metadata."""
        from airflow_provider_whiterabbit.hooks.form import widgets

        return widgets(CONN_FIELDS)


async def _mask_asynchronously(secrets: list[str]) -> None:
    """Mask secrets in the logs without a synchronous call on the event loop, which deadlocks before Airflow 3.3.2.

    `sync_to_async`, not `asyncio.to_thread`: what the masker calls in there has to find its way back to this loop.
    """
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        from airflow.providers.common.compat.sdk import mask_secret
        from asgiref.sync import sync_to_async

        for secret in secrets:
            await sync_to_async(mask_secret)(secret)
    else:
        for secret in secrets:
            await amask_secret(secret)
