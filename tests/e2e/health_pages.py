"""The health pages of the receivers of several API servers, while the place of one connection is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from dev.harness.polling import until

TIMEOUT = 60
"""Seconds within which a page must come. A page that waited for a database that hangs would take longer."""


@dataclass(frozen=True)
class HealthPages:
    """Reads the health pages.

    :param urls: addresses of the API servers.
    :param secret: a secret that no page may show.
    :param connections: ids of the connections that are served.
    :param away: the connection whose place the tests stop.
    """

    urls: Sequence[str]
    secret: str
    connections: Sequence[str]
    away: str

    def read(self) -> list[dict[str, Any]]:
        """Return the page of each API server. It must come in time, with status 200, and show no secret."""
        answers = [requests.get(f"{url}/whiterabbit/health", timeout=TIMEOUT) for url in self.urls]
        assert {answer.status_code for answer in answers} == {200}
        assert not any(self.secret in answer.text for answer in answers)
        return [answer.json() for answer in answers]

    def are(self, state: str) -> bool:
        """Whether each page shows the connection `away` in this state."""
        return all(page["connections"][self.away]["state"] == state for page in self.read())

    def wait_until_healthy(self) -> None:
        """Wait until each page shows that every connection can be read."""
        until(lambda: all(page["status"] == "healthy" for page in self.read()), "the pages to be healthy", 120)

    def wait_until_unreadable(self, stopped: datetime) -> None:
        """Wait until each page shows that only the connection `away` can't be read, and since when."""
        until(lambda: self.are("unreadable"), f"{self.away} to be unreadable", 120, interval=1)
        pages = self.read()
        self._check(pages, "degraded", "unreadable", stopped)
        assert self.read() == pages

    def wait_until_readable(self, started: datetime) -> None:
        """Wait until each page shows that every connection can be read, and that `away` can be read only since then."""
        self.wait_until_healthy()
        self._check(self.read(), "healthy", "readable", started)

    def _check(self, pages: list[dict[str, Any]], status: str, state: str, changed: datetime) -> None:
        for page in pages:
            connections = page["connections"]
            assert page["status"] == status
            assert connections.keys() == set(self.connections)
            for name, connection in connections.items():
                assert connection["state"] == (state if name == self.away else "readable")
                since = datetime.fromisoformat(connection["since"])
                assert (changed < since <= datetime.now(UTC)) if name == self.away else (since < changed)
