"""Turns an Airflow connection of type ``whiterabbit`` into `ClientSettings`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.naming import naming_connection
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError
from airflow_provider_whiterabbit.hooks.unknown_fields import warn_of_unknown

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
    from airflow_provider_whiterabbit.compat import Connection

_MADE_UP_ID = re.compile(r"(?=.*[A-Z])[A-Za-z0-9]{8}")
"""What an id looks like that Airflow makes up for *Test*."""


def settings_of(connection: Connection, extra: Mapping[str, Any]) -> ClientSettings:
    """Return the settings for a client of White Rabbit's API that an Airflow connection holds.

    :param extra: the connection's extra, as an object.
    :raises WhiteRabbitConfigError: if a field is not valid; the message names the connection, the field and the remedy,
        and never holds the value of a secret.
    """
    name = _name_of(connection)
    with naming_connection(name):
        _check_extra(extra)
        warn_of_unknown(name, extra)  # first: a field that is missing may have another name
        return _settings_of(connection, extra, name)


def _settings_of(connection: Connection, extra: Mapping[str, Any], name: str) -> ClientSettings:
    from airflow_provider_whiterabbit.client.transport.connection_settings import (
        DEFAULT_REQUEST_TIMEOUT,
        ClientSettings,
    )
    from airflow_provider_whiterabbit.client.transport.limits import LIMITS

    # The forms of older versions of Airflow save an empty field as an empty string.
    fields = {name: value for name, value in extra.items() if value not in (None, "")}
    return ClientSettings(
        connection_id=name,
        base_url=_base_url(connection.host, connection.port),
        api_key=(_string_field(fields, "api_key") or "").strip(),  # as for the secret, which is often a file's content
        api_secret=connection.password or "",
        request_timeout=_seconds_field(fields, "request_timeout", DEFAULT_REQUEST_TIMEOUT),
        ca_bundle=_string_field(fields, "ca_bundle"),
        client_cert=_string_field(fields, "client_cert"),
        client_key=_string_field(fields, "client_key"),
        http2=_boolean_field(fields, "http2", default=True),
        allow_http=_boolean_field(fields, "allow_http"),
        **{name: limit.parse(fields[name], name) for name, limit in LIMITS.items() if name in fields},
        empty_body_signature=fields.get("empty_body_signature", "object"),
        callback_secret=fields.get("callback_secret"),
        callback_headers=_object_field(fields, "callback_headers"),
        execution_url=_string_field(fields, "execution_url"),
        workflow_run_url=_string_field(fields, "workflow_run_url"),
    )


def secrets_of(connection: Connection, extra: Mapping[str, Any]) -> Iterator[str]:
    """Yield each secret value of an Airflow connection, which must not appear in a log.

    :param extra: the connection's extra, as an object.
    """
    from airflow_provider_whiterabbit.client.transport.connection_settings import as_list

    with naming_connection(_name_of(connection)):
        _check_extra(extra)
    secret, api_key = extra.get("callback_secret"), extra.get("api_key")
    for value in _non_empty_strings((connection.password, api_key)):
        yield from _non_empty_strings({value, value.strip()})  # messages and requests hold it without a line end
    yield from _non_empty_strings((secret, *as_list(secret)))
    headers = extra.get("callback_headers")
    if isinstance(headers, str):
        try:
            headers = json.loads(headers)
        except (ValueError, RecursionError):
            yield headers
    if isinstance(headers, Mapping):
        yield from _non_empty_strings(headers.values())


def check_conn_id(connection_id: Any) -> None:
    """Check that a value can be the id of an Airflow connection.

    :raises WhiteRabbitConfigError: if it can't.
    """
    if not checks.is_connection_id(connection_id):
        raise WhiteRabbitConfigError(f"{connection_id!r:.100} can't be the id of an Airflow connection.")


def _name_of(connection: Connection) -> str:
    """Return the id of an Airflow connection for messages; an empty string for an id that no user knows.

    *Test* in Airflow's web UI copies the connection to an environment variable under a random id.
    """
    conn_id = connection.conn_id or ""
    is_made_up = _MADE_UP_ID.fullmatch(conn_id) and f"AIRFLOW_CONN_{conn_id.upper()}" in os.environ
    return "" if is_made_up else conn_id


def _check_extra(extra: Any) -> None:
    if not isinstance(extra, Mapping):
        raise WhiteRabbitConfigError("The connection's extra must be a JSON object.")


def _non_empty_strings(values: Any) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value)


def _base_url(host: str | None, port: int | None) -> str:
    from airflow_provider_whiterabbit.client.transport.base_url import DEFAULT_BASE_URL, check_base_url

    base_url = _with_scheme((host or "").strip()) or DEFAULT_BASE_URL
    check_base_url(base_url, allow_http=True)  # `ClientSettings` checks whether plain HTTP is allowed
    url = urlsplit(base_url)
    if not port or port == url.port:
        return base_url
    if url.port is not None:
        raise WhiteRabbitConfigError(
            f"The connection's port is {port}, but its host contains port {url.port}: remove one of them."
        )
    return f"{url.scheme}://{url.netloc}:{port}"


def _with_scheme(host: str) -> str:
    """Return a host as a URL: without a scheme, as in a connection that is written as a URI, it is reached by HTTPS."""
    if not host or "://" in host or host.startswith("//"):
        return host
    try:
        return f"https://[{IPv6Address(host)}]"  # Airflow takes the brackets from the host of a URI
    except ValueError:
        return f"https://{host}"


def _string_field(extra: Mapping[str, Any], name: str) -> str | None:
    value = extra.get(name)
    if value is not None and not isinstance(value, str):
        raise WhiteRabbitConfigError(f"The extra field '{name}' must be a string.")
    return value


def _seconds_field(extra: Mapping[str, Any], name: str, default: float) -> float:
    value = extra.get(name, default)
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise WhiteRabbitConfigError(f"The extra field '{name}' must be a number of seconds.") from None


def _boolean_field(extra: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = extra.get(name, default)
    boolean = {"true": True, "false": False, "y": True}.get(str(value).lower())  # *Test* of Airflow 2's form sends y
    if boolean is None:
        raise WhiteRabbitConfigError(f"The extra field '{name}' must be true or false.")
    return boolean


def _object_field(extra: Mapping[str, Any], name: str) -> Any:
    value = extra.get(name)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise WhiteRabbitConfigError(f"The extra field '{name}' must be a JSON object.") from None
