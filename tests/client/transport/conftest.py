"""A blocking client of the emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.transports import settings_for


@pytest.fixture
def pauses() -> list[float]:
    """Return the list to which `client` adds the seconds of each pause instead of sleeping."""
    return []


@pytest.fixture
def client(whiterabbit_emulator: Emulator, pauses: list[float]) -> Iterator[Client]:
    """Yield a client of the emulator that does not sleep."""
    with Client(settings_for(whiterabbit_emulator), sleep=pauses.append) as client:
        yield client
