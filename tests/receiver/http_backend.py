"""A secrets backend of Airflow that reads connections over HTTP, as those of the clouds and of Vault do."""

from __future__ import annotations

import requests
from airflow.secrets import BaseSecretsBackend


class HttpBackend(BaseSecretsBackend):
    """Reads a connection as JSON from a server, and raises an error if the server is down.

    :param url: address of the server; a connection's id follows as path.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        """Return a connection as JSON; None if the server has no such connection."""
        answer = requests.get(f"{self._url}/{conn_id}", timeout=60)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.text
