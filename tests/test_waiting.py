"""What all waiting tasks share."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from tests.versions import needs_triggerer_end


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch on the deployment's options to start and to end tasks in the triggerer."""
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__START_FROM_TRIGGER", "True")
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__END_FROM_TRIGGER", "True")


@needs_triggerer_end
@pytest.mark.usefixtures("options")
def test_options_of_the_deployment() -> None:
    """The deployment's options count for deferrable tasks whose arguments say nothing else."""

    def choices(**arguments: Any) -> tuple[bool, bool]:
        """Return whether a sensor starts in the triggerer, and whether it ends there."""
        sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id="e", **arguments)
        return sensor.start_from_trigger, sensor.ends_in_triggerer

    assert choices(deferrable=True) == (True, True)
    assert choices() == (False, False)
    assert choices(deferrable=True, start_from_trigger=False) == (False, True)
    assert choices(deferrable=True, end_from_trigger=False) == (True, False)
    assert WhiteRabbitExecuteComponentOperator(task_id="run", module="X", deferrable=True).ends_in_triggerer
