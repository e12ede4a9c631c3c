"""The secrets that Airflow knows, hidden in what errors quote of White Rabbit's answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

hide: Callable[[str], str] = str
"""Returns a text of an error without the secrets that Airflow knows in this process: Airflow has one list of them. The
module `masking` sets it; without Airflow there are none. It must be called before a text is cut, because nothing finds
half a secret."""


def quoted(value: Any, limit: int) -> str:
    """Return what White Rabbit sent, for the text of an error: as Python writes it, without secrets, and cut.

    :param limit: how many characters the text has at most.
    """
    return (repr(hide(value)) if isinstance(value, str) else hide(repr(value)))[:limit]
