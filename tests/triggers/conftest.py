"""The connection of the triggers."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit.client.wait import follower as follow
from airflow_provider_whiterabbit.emulator import Emulator


@pytest.fixture(autouse=True)
def connection(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect the triggers with the emulator, and let them be impatient."""
    monkeypatch.setattr(follow, "SHORTEST_POLL", 0.01)
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)
