"""Names the Airflow connection in messages about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError


def prefix_of(connection_id: str) -> str:
    """Return the beginning of messages about a connection; an empty text for an empty id."""
    return f"Connection {connection_id}: " if connection_id else ""


@contextlib.contextmanager
def naming_connection(connection_id: str) -> Iterator[None]:
    """Put the id of a connection in front of errors about its fields.

    :param connection_id: empty if no user knows it.
    """
    try:
        yield
    except WhiteRabbitConfigError as error:
        raise WhiteRabbitConfigError(f"{prefix_of(connection_id)}{error}") from None
