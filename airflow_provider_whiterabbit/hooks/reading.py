"""Reading a connection in the triggerer: without blocking it, and once for all triggers that start together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_whiterabbit.hooks.connection import secrets_of, settings_of

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.settings import ClientSettings
    from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

_readings: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, asyncio.Task[ClientSettings]]] = (
    WeakKeyDictionary()
)


async def read_together(hook: WhiteRabbitHook) -> ClientSettings:
    """Read a hook's connection, or wait for whoever is reading the same at this moment: nothing is kept beyond.

    Airflow needs several turns of the triggerer's other process for each reading, most of them to mask secrets: of
    a thousand triggers that start together each would wait for all others'.

    :raises WhiteRabbitConfigError: if a field can't be used.
    """
    readings = _readings.setdefault(asyncio.get_running_loop(), {})
    key = (type(hook), hook.whiterabbit_conn_id)
    reading = readings.get(key)
    if reading is None:
        # A task, so that the others go on where the first one is cancelled.
        reading = readings[key] = asyncio.create_task(_read(hook))
        reading.add_done_callback(lambda _: readings.pop(key))
    return await asyncio.shield(reading)


async def _read(hook: WhiteRabbitHook) -> ClientSettings:
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    connection = await get_async_connection(hook.whiterabbit_conn_id, hook=hook)
    extra = await get_async_extra_dejson(connection)
    await _mask(list(secrets_of(connection, extra)))
    return settings_of(connection, extra)


async def _mask(secrets: list[str]) -> None:
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
