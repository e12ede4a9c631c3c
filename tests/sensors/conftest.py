"""Fixtures for the tests of the sensors."""

from __future__ import annotations

import pytest

from dev.harness.standins import FakeAirflow


@pytest.fixture(autouse=True)
def _connection(emulator_connection: None) -> None:
    """Define the connection to the emulator."""


@pytest.fixture
def airflow() -> FakeAirflow:
    """Return an Airflow that gives sensors their context."""
    return FakeAirflow()
