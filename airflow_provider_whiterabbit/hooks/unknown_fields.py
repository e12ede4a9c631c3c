"""Warns of extra fields of an Airflow connection that the provider does not know, which are typing errors mostly."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from airflow_provider_whiterabbit.client.text import one_line
from airflow_provider_whiterabbit.get_provider_info import CONN_FIELDS

log = logging.getLogger(__name__)

_MAX_NAME = 100
_MAX_WARNINGS = 20
"""Of how many unknown fields of a connection the log has a warning at most."""


def warn_of_unknown(connection_id: str, names: Iterable[Any]) -> None:
    """Log a warning for each extra field that the provider does not know, once in a process.

    :param connection_id: id of the connection; empty if no user knows it.
    :param names: the names of all extra fields.
    """
    unknown = [name for name in names if name not in CONN_FIELDS]
    for name in unknown[:_MAX_WARNINGS]:
        _warn(connection_id, one_line(str(name), _MAX_NAME))


@lru_cache(maxsize=1024)
def _warn(connection_id: str, name: str) -> None:
    similar = difflib.get_close_matches(name.lower().removeprefix("extra__whiterabbit__"), CONN_FIELDS, n=1)
    log.warning(
        "The connection%s has an extra field '%s', which this provider does not know%s",
        connection_id and f" {connection_id}",
        name,
        f"; did you mean '{similar[0]}'?" if similar else " and ignores",
    )
