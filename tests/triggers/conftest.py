"""Fixtures for the tests of the triggers."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from tests.triggers.runs import execution_trigger, payloads_of


@pytest.fixture(autouse=True)
def _connection(emulator_connection: None) -> None:
    """Define the connection to the emulator."""


@pytest.fixture
async def warm(whiterabbit_emulator: Emulator) -> None:
    """Import what a trigger imports, which a triggerer does once: tests measure how long the event loop is blocked."""
    await payloads_of(execution_trigger(whiterabbit_emulator.create_execution("ANY", output=1)))
    whiterabbit_emulator.reset()
