"""How a trigger tries to read its Airflow connection, which may only seem missing."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from ssl import SSLError
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError, WhiteRabbitError, WhiteRabbitTimeoutError

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
    from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0  # seconds


async def open_client(hook: WhiteRabbitHook, deadline: float | None, name: str, log: Any) -> AsyncClient:
    """Read the Airflow connection and return an open client; retry, because the connection may only seem missing.

    :param deadline: when to give up, in seconds since 1970; None for no deadline.
    :param name: the name of what the trigger waits for at the beginning of a sentence, as ``Execution 0c1d…``.
    :param log: a logger.
    :raises WhiteRabbitTimeoutError: if that takes until the deadline, because a secrets backend hangs.
    :raises WhiteRabbitError: if it takes longer than a trigger tries.
    """
    seconds = hook.timing.connection_patience
    if deadline is not None:
        seconds = max(0.0, min(seconds, deadline - time.time()))

    async def enter() -> AsyncClient:
        return await (await hook.get_async_client()).__aenter__()

    try:
        async with asyncio.timeout(seconds + hook.timing.final_read) as limit:
            return await _patiently(enter, seconds, hook.whiterabbit_conn_id, log)
    except TimeoutError:
        if not limit.expired():
            raise
        message = f"The connection {hook.whiterabbit_conn_id} could not be read within {seconds:.0f} s"
        if deadline is None or time.time() < deadline:
            raise WhiteRabbitError(message) from None
        raise WhiteRabbitTimeoutError(
            f"{name} had not ended at the deadline, as far as is known. {message}. It may still be running at White "
            "Rabbit; it was not cancelled"
        ) from None


async def _patiently(attempt: Callable[[], Awaitable[T]], seconds: float, connection_id: str, log: Any) -> T:
    """Return what a function that reads an Airflow connection returns; call the function again if it fails.

    :param seconds: how long to try; the last attempt is made when the time is over.
    :param log: a logger, which gets one warning.
    """
    ends, failures = monotonic() + seconds, 0
    while True:
        try:
            return await attempt()
        except Exception as error:
            left = ends - monotonic()
            if left <= 0 or not _may_be_temporary(error):
                raise
            failures += 1
            if failures == 1:
                cause = clean(str(error))
                log.warning("The connection %s can't be read yet, trying again: %s", connection_id, cause)
        from airflow_provider_whiterabbit.client import retry  # not when a DAG is parsed: it imports tenacity

        pause = retry.jitter(failures, longest=_LONGEST_PAUSE, first=_FIRST_PAUSE, uniform=random.uniform)
        await asyncio.sleep(min(left, pause))


def _may_be_temporary(error: Exception) -> bool:
    """Return whether an Airflow connection may be readable, and its certificates too, although this failed."""
    return not isinstance(error, WhiteRabbitConfigError | PermissionError | SSLError)
