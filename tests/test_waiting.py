"""What all waiting tasks share."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_whiterabbit.compat import DAG, task
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


def test_copy_of_a_dag(emulator_connection: None) -> None:
    """Airflow copies tasks whose hook was used, as `airflow tasks test` does with a part of a DAG."""

    def returned() -> dict[str, Any]:
        return {}

    with DAG("copied", schedule=None) as dag:
        tasks = [
            WhiteRabbitExecuteComponentOperator(task_id="component", module="PAY"),
            WhiteRabbitExecutionSensor(task_id="sensor", execution_id="1"),
            task.whiterabbit("PAY", task_id="function")(returned)().operator,
        ]
    for each in tasks:
        assert each.whiterabbit_hook.get_conn()
    part = dag.partial_subset(["component", "sensor", "function"])
    for each in tasks:
        copied = part.get_task(each.task_id)
        assert copied is not each
        assert copied.whiterabbit_hook.get_conn().settings == each.whiterabbit_hook.get_conn().settings
