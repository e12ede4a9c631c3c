"""Checks of arguments before a request is sent. Each check returns the checked value, or raises an exception."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_whiterabbit.client.known_secrets import quoted
from airflow_provider_whiterabbit.client.text import one_line
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

MAX_INLINE_WAIT = 15.0
"""Longest time, in seconds, that a submission may wait for its result: the API's ``waitForMs`` is 15,000 at most."""

MAX_NAME = 200
"""Length, in characters, of the longest name of a module."""

MAX_KEY = 200
"""Length, in characters, of the longest key under which a task submits."""

MAX_CONNECTION_ID = 250
"""Length, in characters, of the longest id of a connection in Airflow's database."""

_SAFE_ID = re.compile(r"(?!\.+$)[A-Za-z0-9._~-]{1,200}", re.ASCII)  # RFC 3986, unreserved; no dot segments
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*")


def identifier(value: Any, name: str, template: Any = None) -> str:
    """Check that an id is safe in a URL's path, and return the id.

    :param name: the argument's name, for the error.
    :param template: what was rendered to the value, for the error; None if nothing was.
    :raises WhiteRabbitInputError: if it is not a string, is empty, or has other than unreserved URL characters; also if
        it is ``None`` as text, to which Airflow renders a template that pulls a missing XCom.
    """
    origin = "" if template is None or template == value else f" (rendered from {str(template)!r:.200})"
    if not isinstance(value, str):
        raise WhiteRabbitInputError(f"{name} must be a string, got {type(value).__name__}{origin}")
    if "{{" in value or "{%" in value:
        raise WhiteRabbitInputError(
            f"{name} is a template that was not rendered: {value!r:.100}. Only template fields are rendered."
        )
    if not _SAFE_ID.fullmatch(value) or value == "None":
        raise WhiteRabbitInputError(
            f"{name} must be an id as White Rabbit gave it (letters, digits, '-', '_', '.', '~'), got "
            f"{quoted(value, 100)}{origin}"
        )
    return value


def identifiers(value: Any, name: str, templates: Sequence[Any] = ()) -> list[str]:
    """Check that a value is a list of ids, or can be read like one, and return the list.

    :param name: the argument's name, for the error, which has the position too.
    :param templates: what was rendered to the ids, for the error; empty if nothing was.
    :raises WhiteRabbitInputError: if it is not, or something in it is not an id as `identifier` wants it.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise WhiteRabbitInputError(f"{name} must be a list of ids, got {type(value).__name__}")
    return [
        identifier(item, f"{name}[{index}]", templates[index] if index < len(templates) else None)
        for index, item in enumerate(value)
    ]


def headers(value: Any, name: str, error: type[Exception]) -> dict[str, str]:
    """Check that extra headers are allowed in HTTP (a mapping of strings to strings), and return the headers.

    :param name: what to call them in the error.
    :raises error: if one is not allowed. The message names the header, never its value.
    """
    if not isinstance(value, Mapping):
        raise error(f'\'{name}\' must be an object of strings, as {{"X-Team": "payments"}}.')
    for key, content in value.items():
        if not isinstance(key, str) or not _HEADER_NAME.fullmatch(key):
            raise error(f"'{name}' holds {key!r}, which is not a header name.")
        if not isinstance(content, str) or not _HEADER_VALUE.fullmatch(content):
            raise error(f"'{name}': the value of {key!r} must be a string of printable ASCII characters.")
    return dict(value)


def is_loopback(host: str) -> bool:
    """Return whether a host name or an IP address means this machine (loopback)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, section 6.3


def is_http_url(address: str) -> bool:
    """Return whether a text is a URL with the scheme http or https and a host."""
    try:
        url = urlsplit(address)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def is_connection_id(value: Any) -> bool:
    """Return whether a value can be the id of an Airflow connection: printable, not blank, at most 250 characters.

    Airflow's own error quotes an id as it is, and a lone surrogate in an error ends a task without a reason in its log.
    ``None`` as text is what a template renders to that pulls a missing XCom.
    """
    is_id = isinstance(value, str) and bool(value.strip()) and value.isprintable() and len(value) <= MAX_CONNECTION_ID
    return is_id and value != "None"


def module(value: Any) -> str:
    """Check that a component's module name is a string of 1 to 200 printable characters, and return the name."""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME or not value.isprintable():
        raise WhiteRabbitInputError(f"module must be a component's module name, as RANDOM_UUID, got {value!r:.100}")
    return value


def key(value: Any) -> str:
    """Check that a key under which a task submits is one line of 1 to 200 characters, and return the key."""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_KEY or one_line(value) != value:
        raise WhiteRabbitInputError(
            f"key must be a text of 1 to {MAX_KEY} characters without control characters, such as the id of an order; "
            f"got {value!r:.100}"
        )
    return value


def json_object(value: Any, name: str) -> Mapping[str, Any]:
    """Check that a value is a mapping (a JSON object), and return the mapping; an empty mapping for `None`."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise WhiteRabbitInputError(f"{name} must be an object (a dict), got {type(value).__name__}")
    return value


def text(value: Any, name: str) -> str:
    """Check that a value is a string that is not empty, and return the string."""
    if not isinstance(value, str) or not value:
        raise WhiteRabbitInputError(f"{name} must be a string that is not empty")
    return value


def attempts(value: Any) -> int:
    """Check that a number of server-side attempts is 1, 2 or 3, and return the number."""
    return whole_number(value, "attempts", 1, 3)


def whole_number(value: Any, name: str, least: int, most: int) -> int:
    """Check that a value is a whole number in a range, and return the number."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise WhiteRabbitInputError(f"{name} must be a whole number from {least} to {most}, got {value!r:.50}")
    return value


def choice(value: Any, name: str, choices: Collection[str]) -> str:
    """Check that a value is one of the allowed words, and return the word."""
    if not isinstance(value, str) or value not in choices:
        raise WhiteRabbitInputError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r:.50}")
    return value


def users(value: Any, name: str) -> None:
    """Check that a value is a list of users of Airflow, each ``{"id": …, "name": …}``; an empty list would mean all."""
    keys = {"id", "name"}
    if not isinstance(value, list) or not value:
        raise WhiteRabbitInputError(f"{name} must be a list of users that is not empty, or None; got {value!r:.100}")
    for user in value:
        if not isinstance(user, dict) or user.keys() != keys or not all(isinstance(user[key], str) for key in keys):
            raise WhiteRabbitInputError(f'{name} must hold users as {{"id": "7", "name": "Ada"}}, got {user!r:.100}')


def seconds(value: Any, name: str, most: float = float("inf")) -> float:
    """Return a number of seconds or a `timedelta` as seconds; the value must not be negative or exceed `most`."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= most:
        bounds = "not negative" if most == float("inf") else f"from 0 to {most:g}"
        raise WhiteRabbitInputError(f"{name} must be seconds or a timedelta, {bounds}; got {value!r:.50}")
    return float(number) if number <= sys.float_info.max else float("inf")  # an integer can be larger


def position(value: Any) -> list[float]:
    """Check that a component's position is two numbers, x and y, and return the position as a list."""
    if not isinstance(value, list | tuple) or [type(part) in (int, float) for part in value] != [True, True]:
        raise WhiteRabbitInputError(f"position must be two numbers, x and y; got {value!r:.50}")
    return list(value)


def is_callback_name(value: Any) -> bool:
    """Return whether a value fits into a callback's URL, and into the database in which the receiver looks it up."""
    return isinstance(value, str) and bool(value) and not re.search(r"[\0\ud800-\udfff]", value)


def callback_url(value: Any) -> str:
    """Check that a callback URL uses HTTPS, or plain HTTP to this machine, and return the URL."""
    try:
        url = urlsplit(value) if isinstance(value, str) else None
        host = url.hostname if url else None
    except ValueError:
        url = host = None
    if url is None or host is None or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(host))):
        raise WhiteRabbitInputError("callback_url must be an https:// URL (http:// only on this machine)")
    return str(value)
