"""Parsers for the fields of the API's JSON. A field of an unknown form never counts as success.

The strict parsers raise. `lenient` returns `None` for a field of an unknown form and logs one warning: a new date
format must not fail a payment.
"""

from __future__ import annotations

import json
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, TypeVar

import pendulum

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.known_secrets import quoted
from airflow_provider_whiterabbit.client.records.status import TERMINAL
from airflow_provider_whiterabbit.client.text import MAX_LENGTH, TOO_DEEP, clean, one_line
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S", bound=StrEnum)


def strict_object(data: Any, where: str) -> dict[str, Any]:
    """Check that decoded JSON data is a JSON object, and return the object.

    :param where: names the data in the error, as ``execution record``. The other strict parsers take it likewise.
    :raises WhiteRabbitProtocolError: if it is not an object.
    """
    if not isinstance(data, dict):
        raise WhiteRabbitProtocolError(f"{where}: expected a JSON object, got {type(data).__name__}")
    return data


def strict_id(data: Mapping[str, Any], where: str) -> str:
    """Return the field `id` of a JSON object; the id must be a string that is not empty.

    :raises WhiteRabbitProtocolError: if it is missing, empty or not a string.
    """
    identity = data.get("id")
    if not isinstance(identity, str) or not identity:
        raise WhiteRabbitProtocolError(f"{where}: 'id' is missing or not a string")
    return identity


def strict_status(data: Mapping[str, Any], statuses: type[S], where: str, *, is_part: bool = False) -> S | str:
    """Return the field `status` of a JSON object as a member of an enum of known statuses.

    An unknown status is returned as a `str`, with a warning, if ``completed`` is false: it means neither success nor
    failure. Other contradictions between the two fields are warned of.

    :param is_part: the object is an event or a part of a record, where ``completed`` may be missing.
    :raises WhiteRabbitProtocolError: if the status is no string, or is unknown and may be an end.
    """
    status: Any = data.get("status")
    completed = data.get("completed")
    try:
        known = statuses(status)
    except ValueError:
        goes_on = completed is False or (is_part and completed is None)
        if not isinstance(status, str) or not status or not goes_on:
            raise WhiteRabbitProtocolError(
                f"{where}: the status {quoted(status, 80)} is unknown; known are {', '.join(statuses)}"
            ) from None
        warn_of(data, f"the status {quoted(status, 80)} is unknown and counts as not ended")
        return status
    if known in TERMINAL and completed is False:
        warn_of(data, f"the status is {known} although 'completed' is false; the status counts")
    elif known not in TERMINAL and completed is True and not is_part:
        warn_of(data, f"'completed' is true although the status is {known}; the record counts as not up to date")
    return known


def stage_status(data: Mapping[str, Any], statuses: type[S], where: str) -> S | str:
    """Return the field `status` of a stage: an unknown one as a `str`, with a warning, because no verdict needs it.

    :raises WhiteRabbitProtocolError: if the status is no string.
    """
    status: Any = data.get("status")
    try:
        return statuses(status)
    except ValueError:
        if not isinstance(status, str) or not status:
            return strict_status(data, statuses, where)
        _warn(f"a stage: the status {quoted(status, 80)} is unknown and counts as not ended")
        return status


def strict_list(data: Mapping[str, Any], name: str, where: str) -> list[Any]:
    """Return a field of a JSON object; the field must be an array.

    :raises WhiteRabbitProtocolError: if it is missing or not an array.
    """
    value = data.get(name)
    if not isinstance(value, list):
        raise WhiteRabbitProtocolError(f"{where}: '{name}' is missing or not an array")
    return value


def lenient(data: Mapping[str, Any], name: str, parse: Callable[[Any], T]) -> T | None:
    """Return a parsed field of a JSON object; None if the field is missing, null or of an unknown form.

    :param parse: returns the value, or raises `ValueError`, `TypeError`, `OverflowError` or `LookupError`.
    """
    value = data.get(name)
    if value is None:
        return None
    try:
        return parse(value)
    except (ValueError, TypeError, OverflowError, LookupError):
        warn_once(name)
        return None


MAX_MODULE = 60
"""How many characters of a module's name a message shows at most."""


def error_text(error: Any, limit: int = MAX_LENGTH) -> str:
    """Return an error from White Rabbit, which may be any JSON value, as text for an exception's message.

    :param limit: how many characters the text has at most.
    """
    if isinstance(error, dict) and isinstance(error.get("message"), str) and len(error) == 1:
        error = error["message"]
    try:
        text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False, default=str)
    except RecursionError:
        text = TOO_DEEP
    return clean(text, limit)


def warn_of(data: Mapping[str, Any], text: str) -> None:
    """Log a warning about an execution or a workflow run, once per process, and not more than `MAX_WARNINGS` at once.

    :param data: its record or event.
    """
    _warn(f"{quoted(data.get('id'), 100)}: {text}")


MAX_WARNINGS = 100
"""How many of these warnings a process logs at most within `WARNING_INTERVAL`."""

WARNING_INTERVAL = 900.0
"""Seconds. Without the limit, a server that sends another unknown status in each answer would fill the log."""

_warned_at: deque[float] = deque(maxlen=MAX_WARNINGS)


@lru_cache(maxsize=1024)
def _warn(text: str) -> None:
    if len(_warned_at) < MAX_WARNINGS or monotonic() - _warned_at[0] > WARNING_INTERVAL:
        _warned_at.append(monotonic())
        log.warning("White Rabbit's answer about %s", one_line(text))


def forget_warnings() -> None:
    """Let every warning be logged once more."""
    _warn.cache_clear()
    _warned_at.clear()
    warn_once.cache_clear()


@cache
def warn_once(name: str) -> None:
    """Log a warning that a JSON field has an unknown form, once per process and field name."""
    log.warning(
        "White Rabbit sent the field %r in a form that this version does not know; its value is None here", name
    )


def of_type(kind: type[T]) -> Callable[[Any], T]:
    """Return a parser that accepts only values of one Python type; a bool does not count as an int."""

    def parse(value: Any) -> T:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError
        return value

    return parse


def number(value: Any) -> float:
    """Parse a number. NaN and the infinities, which Python's JSON parser accepts, have an unknown form."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not math.isfinite(value):
        raise ValueError
    return value


def list_of_str(value: Any) -> list[str]:
    """Parse an array of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return value


def time(value: Any) -> pendulum.DateTime:
    """Parse an ISO 8601 time."""
    if not isinstance(value, str):
        raise TypeError
    if not value[:4].isdigit():  # pendulum reads "now" as a time
        raise ValueError
    parsed = pendulum.parse(value, exact=True)  # and, unless told to be exact, "10:00" as one of today
    if not isinstance(parsed, pendulum.DateTime):
        raise TypeError
    return parsed
