"""An Airflow connection of type ``whiterabbit`` read as `ClientSettings`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_whiterabbit.client.transport.settings import ClientSettings


def settings_of(connection: Connection, extra: Mapping[str, Any]) -> ClientSettings:
    """Read a connection.

    :param extra: the connection's extra, as an object.
    :raises WhiteRabbitConfigError: if a field can't be used; names field and remedy, never a secret value.
    """
    from airflow_provider_whiterabbit.client.transport.settings import DEFAULT_REQUEST_TIMEOUT, ClientSettings

    # The forms of older versions of Airflow save a field that was left empty as an empty string.
    given = {name: value for name, value in extra.items() if value not in (None, "")}
    return ClientSettings(
        base_url=_base_url(connection.host, connection.port),
        api_key=_text(given, "api_key") or "",
        api_secret=connection.password or "",
        request_timeout=_number(given, "request_timeout", DEFAULT_REQUEST_TIMEOUT),
        ca_bundle=_text(given, "ca_bundle"),
        allow_http=_boolean(given, "allow_http"),
        empty_body_signature=given.get("empty_body_signature", "object"),
        callback_secret=_text(given, "callback_secret"),
        callback_headers=_object(given, "callback_headers"),
        execution_url=_text(given, "execution_url"),
        workflow_run_url=_text(given, "workflow_run_url"),
    )


def secrets_of(connection: Connection, extra: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything in a connection that must not be seen in a log."""
    yield from _texts((connection.password, extra.get("api_key"), extra.get("callback_secret")))
    headers = extra.get("callback_headers")
    if isinstance(headers, str):
        try:
            headers = json.loads(headers)
        except ValueError:
            yield headers
    if isinstance(headers, Mapping):
        yield from _texts(headers.values())


def _texts(values: Any) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value)


def _base_url(host: str | None, port: int | None) -> str:
    from airflow_provider_whiterabbit.client.transport.settings import DEFAULT_BASE_URL, check_base_url

    base_url = (host or "").strip() or DEFAULT_BASE_URL
    check_base_url(base_url, allow_http=True)  # whether HTTP is allowed is for the settings to say
    url = urlsplit(base_url)
    if not port or port == url.port:
        return base_url
    if url.port is not None:
        raise WhiteRabbitConfigError(
            f"The connection's port is {port}, its host says {url.port}: leave one of them out."
        )
    return f"{url.scheme}://{url.netloc}:{port}"


def _text(extra: Mapping[str, Any], name: str) -> str | None:
    value = extra.get(name)
    if value is not None and not isinstance(value, str):
        raise WhiteRabbitConfigError(f"The extra field '{name}' must be a string.")
    return value


def _number(extra: Mapping[str, Any], name: str, default: float) -> float:
    try:
        return float(extra.get(name, default))
    except (TypeError, ValueError):
        raise WhiteRabbitConfigError(f"The extra field '{name}' must be a number of seconds.") from None


def _boolean(extra: Mapping[str, Any], name: str) -> bool:
    value = extra.get(name, False)
    known = {"true": True, "false": False}.get(str(value).lower())
    if known is None:
        raise WhiteRabbitConfigError(f"The extra field '{name}' must be true or false.")
    return known


def _object(extra: Mapping[str, Any], name: str) -> Any:
    value = extra.get(name)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise WhiteRabbitConfigError(f"The extra field '{name}' must be a JSON object.") from None
