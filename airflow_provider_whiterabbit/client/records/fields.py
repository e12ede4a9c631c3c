"""Reading the fields of the API's JSON, by one rule: unknown is not success.

The strict readers raise; `lenient` turns a field of an unexpected shape into `None` with one warning, because a new
date format must not fail a payment.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import pendulum

from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S", bound=StrEnum)


def strict_object(data: Any, what: str) -> dict[str, Any]:
    """Return a JSON object, or raise."""
    if not isinstance(data, dict):
        raise WhiteRabbitProtocolError(f"{what}: expected a JSON object, got {type(data).__name__}")
    return data


def strict_id(data: Mapping[str, Any], what: str) -> str:
    """Return the field `id`, or raise."""
    identity = data.get("id")
    if not isinstance(identity, str) or not identity:
        raise WhiteRabbitProtocolError(f"{what}: 'id' is missing or not a string")
    return identity


def strict_status(data: Mapping[str, Any], statuses: type[S], what: str) -> S:
    """Return the field `status` as a member of its enum, or raise."""
    status = data.get("status")
    if status not in list(statuses):
        raise WhiteRabbitProtocolError(f"{what}: status {status!r:.80} is none of {', '.join(statuses)}")
    return statuses(status)


def strict_list(data: Mapping[str, Any], name: str, what: str) -> list[Any]:
    """Return a field that must be an array, or raise."""
    value = data.get(name)
    if not isinstance(value, list):
        raise WhiteRabbitProtocolError(f"{what}: '{name}' is missing or not an array")
    return value


def lenient(data: Mapping[str, Any], name: str, parse: Callable[[Any], T]) -> T | None:
    """Return a parsed field, or `None` where it is missing, null or not as expected."""
    value = data.get(name)
    if value is None:
        return None
    try:
        return parse(value)
    except (ValueError, TypeError, OverflowError, LookupError):
        _warn_once(name)
        return None


LONGEST_ERROR = 2000
"""Characters of White Rabbit's error that go into a message."""


def in_words(error: Any) -> str:
    """Say an error, which may be any JSON value."""
    if isinstance(error, dict) and isinstance(error.get("message"), str) and len(error) == 1:
        error = error["message"]
    text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}… ({len(text)} characters)"


_warned: set[str] = set()


def _warn_once(name: str) -> None:
    if name not in _warned:
        _warned.add(name)
        log.warning("White Rabbit sent field %r in a form that this version does not know; it reads as None", name)


def of_type(kind: type[T]) -> Callable[[Any], T]:
    """Make a parser that accepts one type (a bool is no int)."""

    def parse(value: Any) -> T:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError
        return value

    return parse


def number(value: Any) -> float:
    """Parse a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
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
