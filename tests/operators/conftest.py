"""What the tests of the operators share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tenacity

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.standins import Airflow, Component, Remote, Workflow


@pytest.fixture(autouse=True)
def connection(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Airflow the emulator's connection, and let nobody pause."""
    monkeypatch.setattr("airflow_provider_whiterabbit.client.retry.FIRST_PAUSE", 0)
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda seconds: None))
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def airflow() -> Airflow:
    """Return an Airflow with a task state store."""
    return Airflow()


@pytest.fixture(params=[Component, Workflow], ids=["component", "workflow"])
def remote(request: pytest.FixtureRequest, whiterabbit_emulator: Emulator) -> Remote:
    """Return each of the two kinds of things that are submitted."""
    kind: type[Remote] = request.param
    return kind(whiterabbit_emulator)
