"""Reads White Rabbit's component catalogue: through an Airflow connection, from a server, or from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow_provider_whiterabbit.client import api, catalogue
from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.transport.base_url import check_base_url
from airflow_provider_whiterabbit.client.transport.failures import root_cause_text
from airflow_provider_whiterabbit.client.wire.json_in import integer
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError, WhiteRabbitTransportError

_MAX_BYTES = 64 * 1024 * 1024
_TIMEOUT = (10, 60)

Catalogue = list[dict[str, Any]]


def from_connection(conn_id: str) -> Catalogue:
    """Read the catalogue with the credentials of an Airflow connection."""
    from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

    return WhiteRabbitHook(conn_id).get_components()


def from_url(base_url: str) -> Catalogue:
    """Read the catalogue from a server, without credentials, as White Rabbit's own client does.

    :raises WhiteRabbitTransportError: if the server gives no catalogue.
    """
    import requests
    import urllib3

    check_base_url(base_url, allow_http=True)  # nothing secret is sent
    url = f"{base_url.rstrip('/')}{api.get_components().path}"
    try:
        with requests.get(url, timeout=_TIMEOUT, auth=_without, allow_redirects=False, stream=True) as answer:
            answer.raw.decode_content = True
            content = answer.raw.read(_MAX_BYTES + 1)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise WhiteRabbitTransportError(f"{url} can't be read: {root_cause_text(error, Hiding())}") from None
    if answer.status_code != requests.codes.ok:
        raise WhiteRabbitTransportError(f"{url} can't be read: the status of the answer is {answer.status_code}")
    return _parsed(content, url)


def _without(request: Any) -> Any:
    """Return a request unchanged, where requests would take credentials from a ``.netrc``."""
    return request


def from_file(path: Path) -> Catalogue:
    """Read the catalogue from a file that holds the JSON of White Rabbit's answer.

    :raises WhiteRabbitInputError: if the file can't be read, or holds something else.
    """
    try:
        return _parsed(path.read_bytes(), str(path))
    except OSError as error:
        raise WhiteRabbitInputError(f"{path} can't be read: {error}") from None


def _parsed(content: bytes, source: str) -> Catalogue:
    try:
        if len(content) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES} bytes")
        data = json.loads(content, parse_int=integer)
    except (ValueError, RecursionError) as error:
        raise WhiteRabbitInputError(f"{source} holds no component catalogue: {error}") from None
    return catalogue.definitions(data)
