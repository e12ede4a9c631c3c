from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.emulator.effects.received import in_json


@pytest.fixture(params=["python", "http"])
def add(request: pytest.FixtureRequest, wr: Emulator, client: Any) -> Callable[..., None]:
    """Return a function that adds a fault: through the Python API, or over HTTP."""

    def add_fault(effect: effects.Effect, **options: Any) -> None:
        if request.param == "python":
            wr.fault(effect, **options)
        else:
            client.control("faults", in_json(effect, **options))

    return add_fault


@pytest.fixture
def completed_id(wr: Emulator) -> str:
    """Return the id of an execution that has completed."""
    return wr.create_execution("X", after=0)
