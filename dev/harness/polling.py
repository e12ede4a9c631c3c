"""Wait for a condition by checking it again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str, timeout: float, interval: float = 0.2) -> T:
    """Call `condition` until it returns a true value, and return that value.

    :param what: describes the condition in the error message, such as ``"Airflow to be healthy"``.
    :param timeout: seconds after which to give up.
    :param interval: seconds between two calls.
    :raises TimeoutError: if the condition is still not true after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"timed out after {timeout:g} s while waiting for {what}")
        time.sleep(interval)
    return value
