"""Validation of request bodies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_whiterabbit.emulator.world.errors import ApiError
from airflow_provider_whiterabbit.emulator.world.executions import Callback

RESERVED_HEADERS = frozenset({"connection", "content-length", "content-type", "host", "transfer-encoding"}) | {
    *("x-delivery-id", "x-event", "x-signature", "x-signature-timestamp", "x-signature-version", "x-wr-signature")
}
"""Headers that ``callbackHeaders`` may not set. White Rabbit's documentation does not name its reserved headers."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # as Node.js

NOT_PARSED = "The body counts as {}, because its Content-Type is not application/json."
"""What an error adds if the emulator has ignored the body of the request."""

Check = Callable[[Any], str | None]
"""A function that returns the problem with a value, such as ``must be a string``, or None for a valid value."""


def is_json(headers: Mapping[str, str]) -> bool:
    """Return whether a request announces a JSON body. White Rabbit's server takes any other body for ``{}``.

    :param headers: names in lower case.
    """
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def check_submission(body: Any) -> dict[str, Any]:
    """Return a valid body of ``POST /v1/sdk/components``; raise `ApiError` 422 with all problems of an invalid body."""
    return _check(
        body,
        required={"module": _module, "input": _object, "config": _object},
        optional={
            "attempts": _integer(1, 3),
            "waitForMs": _integer(0, 15_000),
            "callbackUrl": _callback_url,
            "callbackSecret": _text,
            "callbackHeaders": _callback_headers,
        },
    )


def check_update(body: Any) -> dict[str, Any]:
    """Return a valid body of a component update; raise `ApiError` 422 with all problems of an invalid body."""
    return _check(body, required={}, optional={"config": _object, "name": _text, "position": _position})


def check_empty(body: Any) -> None:
    """Raise `ApiError` 422 if the body of a request is anything but ``{}``."""
    _check(body, required={}, optional={})


def callback_of(submission: Mapping[str, Any]) -> Callback:
    """Return the `Callback` that the JSON body of a submission requests."""
    return Callback(
        url=submission.get("callbackUrl"),
        secret=submission.get("callbackSecret"),
        headers=submission.get("callbackHeaders", {}),
    )


def _check(body: Any, required: Mapping[str, Check], optional: Mapping[str, Check]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ApiError(422, "VALIDATION_ERROR", "The body must be a JSON object.")
    checks = {**required, **optional}
    problems = [f"{name} should not exist" for name in body if name not in checks]
    problems += [f"{name} is required" for name in required if name not in body]
    for name, check in checks.items():
        if name in body and (problem := check(body[name])) is not None:
            problems.append(f"{name} {problem}")
    if problems:
        raise ApiError(422, "VALIDATION_ERROR", *problems)
    return body


def _module(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be a non-empty string"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a string"


def _object(value: Any) -> str | None:
    return None if isinstance(value, dict) else "must be an object"


def _integer(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:
        # In Python a bool is an int, in JSON it is not.
        valid = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if valid else f"must be an integer from {low} to {high}"

    return check


def _position(value: Any) -> str | None:
    numbers = isinstance(value, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    return None if numbers and len(value) == 2 else "must be [x, y]"


def _callback_url(value: Any) -> str | None:
    try:
        url = urlsplit(value) if isinstance(value, str) else urlsplit("")
        host = url.hostname
    except ValueError:
        host = None
    if not host or not (url.scheme == "https" or (url.scheme == "http" and _is_loopback(host))):
        return "must be an https URL"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return f".{host}".endswith(".localhost")


def _callback_headers(value: Any) -> str | None:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        return "must be an object of strings"
    if not all(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(text) for name, text in value.items()):
        return "must be headers that HTTP can hold"
    reserved = [name for name in value if name.lower() in RESERVED_HEADERS]
    return f"must not set {', '.join(reserved)}" if reserved else None
