"""How a trigger tries to read its Airflow connection, which may only seem missing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from ssl import SSLError
from typing import Any, TypeVar

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0  # seconds


async def patiently(attempt: Callable[[], Awaitable[T]], seconds: float, connection_id: str, log: Any) -> T:
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
