"""A task's link to White Rabbit's dashboard, and the XCom with its credits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_whiterabbit.compat import DAG, AirflowFailException, BaseOperatorLink
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.links import WhiteRabbitLink
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.harness.standins import FakeAirflow
from tests.serialization import serialized

DASHBOARD = "https://dashboard.example/runs?id="


@pytest.fixture(params=[True, False], ids=["with-links", "without"])
def links(request: pytest.FixtureRequest, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Define the connection with or without the dashboard's addresses; return whether it has them."""
    connection = whiterabbit_emulator.connection
    if request.param:
        connection["extra"]["execution_url"] = DASHBOARD + "{execution_id}"
        connection["extra"]["workflow_run_url"] = DASHBOARD + "{workflow_run_id}"
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
    return bool(request.param)


def test_sensor(links: bool, whiterabbit_emulator: Emulator) -> None:
    """A sensor stores link and credits as XComs, and stores the link once although it pokes three times."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1, polls=2, usage=2.5)
    airflow = FakeAirflow()
    sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id)
    context = airflow.context(sensor)
    while not sensor.poke(context):
        pass
    assert airflow.ti.pushes == [("whiterabbit_link", DASHBOARD + execution_id)] * links + [("usage", 2.5)]


@pytest.mark.parametrize("operator_class", [WhiteRabbitExecuteComponentOperator, WhiteRabbitTriggerWorkflowOperator])
def test_operators(links: bool, whiterabbit_emulator: Emulator, operator_class: type[Any]) -> None:
    """Both operators store link and credits as XComs."""
    whiterabbit_emulator.script("X", output=1, usage=2.5)
    whiterabbit_emulator.script_workflow("X", [{"module": "A", "output": 1, "usage": 2.5}])
    argument = "module" if operator_class is WhiteRabbitExecuteComponentOperator else "workflow_id"
    airflow = FakeAirflow()
    airflow.run(operator_class(task_id="pay", deferrable=False, **{argument: "X"}))
    (target_id,) = airflow.ti.ids.values()
    assert airflow.ti.xcoms["usage"] == 2.5
    assert airflow.ti.xcoms.get("whiterabbit_link") == (DASHBOARD + target_id if links else None)


def test_credits_of_a_failure(links: bool, whiterabbit_emulator: Emulator) -> None:
    """The credits of a FAILED execution are stored too."""
    whiterabbit_emulator.script("X", error={"message": "no funds"}, usage=2.5)
    airflow = FakeAirflow()
    with pytest.raises(AirflowFailException):
        airflow.run(WhiteRabbitExecuteComponentOperator(task_id="pay", module="X", deferrable=False))
    assert airflow.ti.xcoms["usage"] == 2.5


def test_without_xcoms(links: bool, whiterabbit_emulator: Emulator) -> None:
    """With `do_xcom_push=False`, a sensor stores the link, as Airflow does with all links, but not the credits."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, do_xcom_push=False)
    airflow = FakeAirflow()
    assert sensor.poke(airflow.context(sensor))
    assert airflow.ti.pushes == [("whiterabbit_link", DASHBOARD + execution_id)] * links


class UserLink(BaseOperatorLink):
    """A link of a user."""

    name = "Wiki"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address."""
        return "https://wiki.example"


class LinkedSensor(WhiteRabbitExecutionSensor):
    """A sensor with a link of a user."""

    operator_extra_links = (*WhiteRabbitExecutionSensor.operator_extra_links, WhiteRabbitLink(), UserLink())


class PropertySensor(WhiteRabbitExecutionSensor):
    """A sensor whose links are a property."""

    @property
    def operator_extra_links(self) -> Any:
        """Return the links."""
        return [UserLink()]


@pytest.mark.parametrize("sensor_class", [LinkedSensor, PropertySensor])
def test_links_of_a_subclass(links: bool, whiterabbit_emulator: Emulator, sensor_class: type[Any]) -> None:
    """A sensor keeps the links of a subclass for Airflow, which stores them when the task's process ends."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    sensor = sensor_class(task_id="wait", execution_id=execution_id)
    airflow = FakeAirflow()
    assert airflow.run(sensor) == 1
    assert [link.name for link in sensor.operator_extra_links] == ["Wiki"]
    assert airflow.ti.xcoms.get("whiterabbit_link") == (DASHBOARD + execution_id if links else None)


@pytest.mark.parametrize("option", [True, False])
def test_declared_links(option: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's UI gets a place for the link only with the option, for plain and for mapped tasks."""
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__DASHBOARD_LINKS", str(option))
    with DAG("linked", schedule=None) as dag:
        WhiteRabbitExecutionSensor(task_id="plain", execution_id="e")
        WhiteRabbitExecutionSensor.partial(task_id="mapped").expand(execution_id=["a"])
        WhiteRabbitExecuteComponentOperator(task_id="run", module="X")
    for task in serialized(dag).tasks:
        assert [link.name for link in task.operator_extra_links] == ["White Rabbit"] * option, task.task_id
