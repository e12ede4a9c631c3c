"""A sensor hides the secrets in the inputs of an execution that another task has submitted."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_whiterabbit.compat import AirflowFailException, TaskDeferred
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError, WhiteRabbitSecretError
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.secrets import secret
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.executions import WhiteRabbitExecutionsSensor
from dev.harness.standins import FakeAirflow

KEY = "Kj7dYw2mZq91XvbT"
NAME = secret(variable="rpc_key")


@pytest.fixture(autouse=True)
def _stored(emulator_connection: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_RPC_KEY", KEY)


def sensor(execution_id: str, **arguments: Any) -> WhiteRabbitExecutionSensor:
    """Return a sensor that hides a secret."""
    return WhiteRabbitExecutionSensor(
        task_id="wait", execution_id=execution_id, **{"hidden_secrets": [NAME], **arguments}
    )


@pytest.mark.parametrize("deferrable", [False, True])
def test_ended(whiterabbit_emulator: Emulator, deferrable: bool) -> None:
    """The output, and the error of an execution that FAILED, have stars in the place of the secret."""
    done = whiterabbit_emulator.create_execution("PAY", output={"echo": f"a{KEY}b"})
    assert FakeAirflow().run(sensor(done, deferrable=deferrable)) == {"echo": "a***b"}
    failed = whiterabbit_emulator.create_execution("PAY", error={"message": f"no {KEY[:12]}"})
    with pytest.raises(AirflowFailException, match=r"FAILED: no \*\*\*$"):
        FakeAirflow().run(sensor(failed, deferrable=deferrable))


def test_deferred(whiterabbit_emulator: Emulator) -> None:
    """A worker starts and ends the task, and the trigger shows no errors of White Rabbit."""
    identity = whiterabbit_emulator.create_execution("PAY", manual=True)
    airflow = FakeAirflow()
    there = {"start_from_trigger": True, "end_from_trigger": True}
    assert sensor(identity, **there).start_from_trigger is False
    with pytest.raises(TaskDeferred) as deferral:
        airflow.run(sensor(identity, **there))
    arguments = deferral.value.trigger.serialize()[1]
    assert arguments["inputs_are_secret"] is True
    assert "end_from_trigger" not in arguments
    whiterabbit_emulator.complete(identity, f"{KEY}!")
    event = {"execution_id": identity, "status": "COMPLETED"}
    task, kwargs = sensor(identity, hidden_secrets=()), {**(deferral.value.kwargs or {}), "event": event}
    assert task.resume_execution("execute_complete", kwargs, airflow.context(task)) == "***!"


def test_missing(whiterabbit_emulator: Emulator) -> None:
    """A secret that is missing is told before the record is read."""
    identity = whiterabbit_emulator.create_execution("PAY", output=1)
    with pytest.raises(WhiteRabbitSecretError, match="the variable 'nowhere'"):
        FakeAirflow().run(sensor(identity, hidden_secrets=[secret(variable="nowhere")]))
    assert not whiterabbit_emulator.requests(kind="record")


@pytest.mark.parametrize("given", [NAME, "{{ params.names }}", ["{{ params.name }}"], ["no name"]], ids=str)
def test_no_names(given: Any) -> None:
    """What is no list of names, such as a template, is refused when the DAG is parsed: it is not rendered."""
    with pytest.raises(WhiteRabbitInputError, match="hidden_secrets must be a list"):
        sensor("x", hidden_secrets=given)
    with pytest.raises(WhiteRabbitInputError, match="hidden_secrets must be a list"):
        WhiteRabbitExecutionsSensor(task_id="all", execution_ids=["x"], hidden_secrets=given)
    with pytest.raises(WhiteRabbitInputError, match="allowed_secrets must be a list"):
        WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", allowed_secrets=given)
