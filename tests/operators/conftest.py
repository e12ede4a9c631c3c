"""Fixtures for the tests of the operators."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tenacity

from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.standins import FakeAirflow, FakeStateStore
from tests.operators.remotes import Component, Remote, Workflow
from tests.versions import HAS_STORE, NO_STORE


@pytest.fixture(autouse=True)
def _connection_without_pauses(emulator_connection: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Define the connection to the emulator, and let tenacity retry writes to the store without pauses."""
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda seconds: None))


class AirflowOfThisVersion(FakeAirflow):
    """Skips the test that asks for the task state store where the installed Airflow has none."""

    @property
    def store(self) -> FakeStateStore:
        """The task state store."""
        if not HAS_STORE:
            pytest.skip(NO_STORE)
        return super().store


@pytest.fixture
def airflow() -> FakeAirflow:
    """Return an Airflow with a task state store, whose tasks retry requests without pauses."""
    return AirflowOfThisVersion(timing=Timing(first_pause=0))


@pytest.fixture(params=[Component, Workflow], ids=["component", "workflow"])
def remote(request: pytest.FixtureRequest, whiterabbit_emulator: Emulator) -> Remote:
    """Return each of the two kinds of work that operators submit."""
    kind: type[Remote] = request.param
    return kind(whiterabbit_emulator)
