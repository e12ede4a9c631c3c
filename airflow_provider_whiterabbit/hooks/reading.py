"""Reads an Airflow connection without blocking the triggerer's event loop, once for triggers that start together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow_provider_whiterabbit.hooks.connection import check_conn_id, secrets_of, settings_of

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
    from airflow_provider_whiterabbit.compat import BaseHook, Connection

_reads_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, asyncio.Task[ClientSettings]]] = (
    WeakKeyDictionary()
)
_begun_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, float]] = WeakKeyDictionary()
_in_use: WeakValueDictionary[object, ClientSettings] = WeakValueDictionary()
_turns_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

READ_INTERVAL = 0.25
"""Seconds between the beginnings of two reads of a connection. The triggerer takes seconds to start a thousand
triggers, and a read takes milliseconds: without a pause, hundreds of reads would follow each other."""

LONGEST_READ = 60.0
"""Seconds after which a read has failed: a secrets backend that hangs once must not hold all triggers from then on."""


async def read_connection(hook: BaseHook, connection_id: str) -> ClientSettings:
    """Read an Airflow connection with asynchronous calls, and mask the connection's secrets in the logs.

    :param hook: the hook that the connection is for.
    :raises WhiteRabbitConfigError: if a field of the connection is not valid.
    """
    check_conn_id(connection_id)
    try:
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
    except ImportError:  # older than 1.23.0, which has the second function
        connection, extra = await _read_without_compat(hook, connection_id)
    else:
        connection = await get_async_connection(connection_id, hook=hook)
        extra = await get_async_extra_dejson(connection)
    await _mask(list(secrets_of(connection, extra)))
    return settings_of(connection, extra)


async def _read_without_compat(hook: BaseHook, connection_id: str) -> tuple[Connection, dict[str, Any]]:
    """Return an Airflow connection and its extra, as common-compat 1.23.0 reads them.

    Airflow's constraints pin older versions of common-compat. Their `get_async_connection` can deadlock before Airflow
    3.3.2, where Airflow's asynchronous calls mask the connection's secrets with a synchronous call; a thread is safe.
    This function can go when the constraints of every supported Airflow pin 1.23.0 or newer.
    """
    from airflow_provider_whiterabbit.compat import Connection

    if hasattr(Connection, "aextra_dejson"):  # Airflow 3.3.2 or newer
        connection = await hook.aget_connection(connection_id)
        return connection, await connection.aextra_dejson()

    from asgiref.sync import sync_to_async

    connection = await sync_to_async(hook.get_connection)(connection_id)
    return connection, await sync_to_async(lambda: connection.extra_dejson)()


async def read_together(
    hook: BaseHook,
    connection_id: str,
    read: Callable[[BaseHook, str], Coroutine[Any, Any, ClientSettings]] = read_connection,
    longest: float = LONGEST_READ,
) -> ClientSettings:
    """Read an Airflow connection; callers within `READ_INTERVAL` share one read, and no result is cached.

    The first caller's read begins at once. Who comes soon after it waits, and shares a read that begins later.

    Each read takes several round trips to the triggerer's other process, most of them to mask secrets. If a thousand
    triggers that start together read the connection one by one, each of them waits for the reads of all others.

    :param hook: the hook that the connection is for.
    :param read: reads the connection.
    :param longest: seconds that a read may take.
    :raises WhiteRabbitConfigError: if a field of the connection is not valid.
    :raises TimeoutError: if the read takes longer than `longest` seconds.
    """
    reads = _reads_by_loop.setdefault(asyncio.get_running_loop(), {})
    key = (type(hook), connection_id)
    reading = reads.get(key)
    if reading is None:
        # A task of its own, which goes on if the first caller is cancelled.
        reading = reads[key] = asyncio.create_task(_read_at_pace(key, partial(read, hook, connection_id), longest))
        reading.add_done_callback(lambda _: reads.pop(key))
    settings = _shared(key, await asyncio.shield(reading))
    async with _turns_by_loop.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        await asyncio.sleep(0)  # the callers go on one by one: all at once, a thousand of them block the event loop
    return settings


async def _read_at_pace(
    key: object, read: Callable[[], Coroutine[Any, Any, ClientSettings]], longest: float
) -> ClientSettings:
    """Read a connection, `READ_INTERVAL` after the last read of it was begun at the earliest."""
    loop = asyncio.get_running_loop()
    begun = _begun_by_loop.setdefault(loop, {})
    if (pause := begun.get(key, -READ_INTERVAL) + READ_INTERVAL - loop.time()) > 0:
        await asyncio.sleep(pause)
    begun[key] = loop.time()
    try:
        async with asyncio.timeout(longest) as limit:
            return await read()
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"it was not read within {longest:g} s") from None
        raise


def _shared(key: object, settings: ClientSettings) -> ClientSettings:
    """Return the equal settings of an earlier trigger if they are in use, so that many waits keep them once."""
    if (known := _in_use.get(key)) == settings and known is not None:
        return known
    _in_use[key] = settings
    return settings


async def _mask(secrets: list[str]) -> None:
    """Mask secrets in the logs without a synchronous call on the event loop, which deadlocks before Airflow 3.3.2.

    Older versions need `sync_to_async` instead of `asyncio.to_thread`, because the masker calls back into this event
    loop from its thread.
    """
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        from asgiref.sync import sync_to_async

        from airflow_provider_whiterabbit.compat import mask_secret

        for secret in secrets:
            await sync_to_async(mask_secret)(secret)
    else:
        for secret in secrets:
            await amask_secret(secret)
