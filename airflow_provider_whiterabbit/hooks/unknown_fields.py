"""Warns of extra fields of an Airflow connection that the provider does not know, which are typing errors mostly."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from airflow_provider_whiterabbit.client.text import one_line
from airflow_provider_whiterabbit.get_provider_info import CONN_FIELDS

log = logging.getLogger(__name__)

_PREFIX = "extra__whiterabbit__"
_MAX_NAME = 100

_ELSEWHERE = {
    **dict.fromkeys(("api_secret", "apisecret", "secret", "secret_key", "private_key", "password"), "password"),
    **dict.fromkeys(("host", "url", "base_url", "api_url", "endpoint"), "host"),
}
"""Names of extra fields with which users mean a field of the connection itself, and that field."""
_MAX_WARNINGS = 20
"""Of how many unknown fields of a connection there is a warning at most."""


def warn_of_unknown(connection_id: str, names: Iterable[Any]) -> None:
    """Log a warning for each extra field that the provider does not know, once in a process.

    :param connection_id: id of the connection; empty if no user knows it.
    :param names: the names of all extra fields.
    """
    for warning in _warnings(connection_id, names):
        _warn(warning)


def remark_on_unknown(extra: Any) -> str:
    """Return the same warnings as sentences to add to a message about the connection; empty if there are none.

    :param extra: the connection's extra, which may be no object.
    """
    warnings = _warnings("", extra) if isinstance(extra, Mapping) else []
    return "".join(f" {warning}" if warning.endswith("?") else f" {warning}." for warning in warnings)


def _warnings(connection_id: str, names: Iterable[Any]) -> list[str]:
    names = list(names)
    # The form of Airflow 2 sends its fields under both names.
    known = {*CONN_FIELDS, *(f"{_PREFIX}{name}" for name in names if name in CONN_FIELDS)}
    unknown = [name for name in names if name not in known]
    return [_warning(connection_id, one_line(str(name), _MAX_NAME)) for name in unknown[:_MAX_WARNINGS]]


def _warning(connection_id: str, name: str) -> str:
    plain = name.lower().removeprefix(_PREFIX)
    similar = difflib.get_close_matches(plain, CONN_FIELDS, n=1)
    connection = connection_id and f" {connection_id}"
    meant = f"the connection's {_ELSEWHERE[plain]}" if plain in _ELSEWHERE else similar and f"'{similar[0]}'"
    hint = f"; did you mean {meant}?" if meant else " and ignores"
    return f"The connection{connection} has an extra field '{name}', which this provider does not know{hint}"


@lru_cache(maxsize=1024)
def _warn(warning: str) -> None:
    log.warning("%s", warning)
