"""Fixtures for the tests of how a task ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dev.harness.standins import FakeSupervisor
from tests.versions import HAS_TRIGGERER_END


@pytest.fixture(autouse=True)
def _connection(emulator_connection: None) -> None:
    """Define the connection to the emulator."""


@pytest.fixture
def supervisor(request: pytest.FixtureRequest) -> FakeSupervisor:
    """Return the supervisor to which triggers send their XComs. On an older Airflow, triggers send none."""
    supervisor = FakeSupervisor()
    if HAS_TRIGGERER_END:
        install: Callable[[FakeSupervisor], None] = request.getfixturevalue("install_supervisor")
        install(supervisor)
    return supervisor
