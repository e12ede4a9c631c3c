from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from tests.emulator.api_client import ApiClient


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    """Return the emulator of the test session, reset."""
    return whiterabbit_emulator


@pytest.fixture
def client(wr: Emulator) -> Iterator[ApiClient]:
    """Return a client of the emulator."""
    client = ApiClient(wr)
    yield client
    client.close()
