"""A task's link to White Rabbit's dashboard, and what it tells of its credits."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.harness.standins import Airflow, TaskInstance

DASHBOARD = "https://dashboard.example/runs?id="


@pytest.fixture(params=[True, False], ids=["with-links", "without"])
def links(request: pytest.FixtureRequest, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Say whether the connection knows the dashboard's addresses."""
    connection = whiterabbit_emulator.connection
    if request.param:
        connection["extra"]["execution_url"] = DASHBOARD + "{execution_id}"
        connection["extra"]["workflow_run_url"] = DASHBOARD + "{workflow_run_id}"
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
    return bool(request.param)


def test_sensor(links: bool, whiterabbit_emulator: Emulator) -> None:
    """A sensor stores link and credits, the link once however often it pokes."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1, polls=2, usage=2.5)
    pushed: list[tuple[str, Any]] = []
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.append((key, value)))
    sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id)
    while not sensor.poke({"ti": ti}):  # type: ignore[typeddict-item]
        pass
    assert pushed == [("whiterabbit_link", DASHBOARD + execution_id)] * links + [("usage", 2.5)]


@pytest.mark.parametrize("kind", [WhiteRabbitExecuteComponentOperator, WhiteRabbitTriggerWorkflowOperator])
def test_operators(links: bool, whiterabbit_emulator: Emulator, kind: type[Any]) -> None:
    """An operator stores them too, each for its own kind of id."""
    whiterabbit_emulator.script("X", output=1, usage=2.5)
    whiterabbit_emulator.script_workflow("X", [{"module": "A", "output": 1, "usage": 2.5}])
    name = "module" if kind is WhiteRabbitExecuteComponentOperator else "workflow_id"
    airflow = Airflow()
    airflow.run(kind(task_id="pay", deferrable=False, **{name: "X"}))
    (identity,) = airflow.ti.ids.values()
    assert airflow.ti.xcoms["usage"] == 2.5
    assert airflow.ti.xcoms.get("whiterabbit_link") == (DASHBOARD + identity if links else None)


def test_credits_of_a_failure(links: bool, whiterabbit_emulator: Emulator) -> None:
    """What failed has cost something too."""
    whiterabbit_emulator.script("X", error={"message": "no funds"}, usage=2.5)
    airflow = Airflow()
    with pytest.raises(AirflowFailException):
        airflow.run(WhiteRabbitExecuteComponentOperator(task_id="pay", module="X", deferrable=False))
    assert airflow.ti.xcoms["usage"] == 2.5


def test_without_xcoms(links: bool, whiterabbit_emulator: Emulator) -> None:
    """A task that is to store no XComs stores none."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, do_xcom_push=False)
    ti = TaskInstance()
    assert sensor.poke({"ti": ti})  # type: ignore[typeddict-item]
    assert not ti.xcoms
