"""The sensor of workflow runs, over real sockets; `test_execution` tests what both sensors share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor
from airflow_provider_whiterabbit.triggers.workflow import WhiteRabbitWorkflowRunTrigger
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good


def sensor(workflow_run_id: str, **arguments: Any) -> WhiteRabbitWorkflowRunSensor:
    """Return a sensor of a workflow run."""
    return WhiteRabbitWorkflowRunSensor(task_id="wait", workflow_run_id=workflow_run_id, **arguments)


def create_run(wr: Emulator, *stages: Any, **ending: Any) -> str:
    """Start a run of a workflow with these stages; return the id of the run."""
    wr.script_workflow("flow", stages, **ending)
    return wr.create_run("flow")


@pytest.mark.parametrize("deferrable", [False, True])
def test_result(airflow: FakeAirflow, whiterabbit_emulator: Emulator, deferrable: bool) -> None:
    """The sensor returns the record with the stages and outputs, and does not defer if the run has ended."""
    wr = whiterabbit_emulator
    run_id = create_run(wr, {"module": "A", "output": {"a": [1, None]}}, {"module": "B", "output": 0})
    result = airflow.run(sensor(run_id, deferrable=deferrable))
    assert result == wr.run(run_id)
    assert [stage["output"] for stage in result["runStages"]] == [{"a": [1, None]}, 0]
    assert type(result) is dict
    assert airflow.ti.xcoms.keys() == {"usage"}


def test_poke(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """In poke mode, the sensor reads the record until the run has ended, and opens no stream."""
    wr = whiterabbit_emulator
    run_id = create_run(wr, {"module": "A", "polls": 3, "output": 1})
    assert airflow.run(sensor(run_id, poke_interval=0.01))["status"] == "COMPLETED"
    assert {entry.kind for entry in wr.journal} == {"run_record"}


def test_progress_is_logged(airflow: FakeAirflow, whiterabbit_emulator: Emulator, read_log: Callable[[], str]) -> None:
    """Each poke logs the progress of the run."""
    run_id = create_run(whiterabbit_emulator, {"module": "A", "output": 1, "usage": 2}, {"module": "B", "manual": True})
    task = sensor(run_id)
    assert task.poke(airflow.context(task)) is False
    assert f"Workflow run {run_id}: EXECUTING, 1 of 2 stages done, 2 credits" in read_log()


def test_timeout_in_the_worker(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """After `timeout`, a sensor in poke mode raises Airflow's exception for sensors."""
    run_id = create_run(whiterabbit_emulator, {"module": "A", "manual": True})
    with pytest.raises(AirflowSensorTimeout):
        airflow.run(sensor(run_id, timeout=0.02, poke_interval=0.01))


@pytest.mark.airflow  # in Airflow 2, a sensor reads its first start from the database
def test_reschedule(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """In reschedule mode, the sensor reads the record once and frees the worker until the next read."""
    run_id = create_run(whiterabbit_emulator, {"module": "A", "manual": True})
    with pytest.raises(AirflowRescheduleException):
        airflow.run(sensor(run_id, mode="reschedule"))
    assert len(whiterabbit_emulator.journal) == 1
    whiterabbit_emulator.complete_stage(run_id, 0, 1)
    assert airflow.run(sensor(run_id, mode="reschedule"))["status"] == "COMPLETED"


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("lenient", ["soft_fail", "never_fail", ""])
@pytest.mark.parametrize("status", ["FAILED", "CANCELED"])
def test_failed_or_canceled(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, deferrable: bool, lenient: str, status: str
) -> None:
    """FAILED and CANCELED fail the task without retries, with the reason; soft_fail and never_fail skip the task."""
    stages: list[Any] = [{"module": "QUOTE", "output": 1}, {"module": "SWAP", "error": {"message": "no funds"}}]
    wr = whiterabbit_emulator
    if status == "FAILED":
        run_id, reason = create_run(wr, *stages), "stage 2 (SWAP) FAILED: no funds"
    else:
        run_id, reason = create_run(wr, stages[0], ending="CANCELED", reason="second thoughts"), "second thoughts"
    task = sensor(run_id, deferrable=deferrable, **({lenient: True} if lenient else {}))
    with pytest.raises(AirflowSkipException if lenient else AirflowFailException) as caught:
        airflow.run(task)
    assert f"Workflow run {run_id} {status}" in str(caught.value.__cause__ if lenient else caught.value)
    assert reason in str(caught.value.__cause__ if lenient else caught.value)


@pytest.mark.parametrize("deferrable", [False, True])
def test_unknown_run_is_never_skipped(airflow: FakeAirflow, deferrable: bool) -> None:
    """An unknown run raises an error, also with soft_fail: it is not a failed run."""
    task = sensor("00000000-0000-0000-0000-000000000000", deferrable=deferrable, soft_fail=True)
    with pytest.raises(exc.WhiteRabbitNotFoundError):
        airflow.run(task)


def test_deferral(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """The sensor defers to the trigger of workflow runs, with the run's id and the sensor's time-out."""
    run_id = create_run(whiterabbit_emulator, {"module": "A", "manual": True})
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(sensor(run_id, deferrable=True, timeout=timedelta(minutes=1), poke_interval=7))
    assert isinstance(caught.value.trigger, WhiteRabbitWorkflowRunTrigger)
    assert caught.value.trigger.serialize()[1] == {
        "workflow_run_id": run_id,
        "whiterabbit_conn_id": "whiterabbit_default",
        "poll_interval": 7.0,
        "deadline": airflow.ti.start_date + timedelta(minutes=1),
        "timeout": None,
    }
    assert caught.value.kwargs == {"identity": run_id}


@pytest.mark.parametrize("has_identity", [True, False])
def test_resume(airflow: FakeAirflow, whiterabbit_emulator: Emulator, has_identity: bool) -> None:
    """The resuming worker returns the record of the run, by the deferral's id or else by the sensor's own."""
    run_id = create_run(whiterabbit_emulator, {"module": "A", "output": 1})
    event = {"workflow_run_id": run_id, "status": "COMPLETED", "message": None}
    task = sensor(run_id, deferrable=True)
    arguments = {"identity": run_id} if has_identity else {}
    assert task.execute_complete(airflow.context(task), event, **arguments) == whiterabbit_emulator.run(run_id)


def test_resume_canceled(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """After the event CANCELED, the resuming worker fails the task with the reason from the record."""
    run_id = create_run(whiterabbit_emulator, {"module": "A", "output": 1}, ending="CANCELED", reason="second thoughts")
    event = {"workflow_run_id": run_id, "status": "CANCELED", "message": None}
    task = sensor(run_id, deferrable=True)
    with pytest.raises(AirflowFailException, match="second thoughts"):
        task.execute_complete(airflow.context(task), event)


def test_timeout(airflow: FakeAirflow) -> None:
    """A time-out of the trigger raises the exception that a time-out in poke mode raises."""
    task = sensor("r", deferrable=True)
    event = {"workflow_run_id": "r", "status": "TIMEOUT", "message": "r had not ended at the deadline"}
    with pytest.raises(AirflowSensorTimeout, match="had not ended"):
        task.execute_complete(airflow.context(task), event)


def test_event_of_an_execution(airflow: FakeAirflow) -> None:
    """An event of the trigger of executions raises an error."""
    task = sensor("r")
    event = {"execution_id": "r", "status": "COMPLETED", "message": None}
    with pytest.raises(exc.WhiteRabbitProtocolError):
        task.execute_complete(airflow.context(task), event)


@pytest.mark.parametrize("workflow_run_id", ["../x", "", "None"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_unsafe_id(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, workflow_run_id: str, deferrable: bool
) -> None:
    """An id that cannot be part of a URL path is refused when the DAG is parsed, or before a request."""
    with pytest.raises(exc.WhiteRabbitInputError, match="workflow_run_id"):
        sensor(workflow_run_id, deferrable=deferrable)
    task = sensor("{{ id }}", deferrable=deferrable)
    with fails_for_good(exc.WhiteRabbitInputError, "workflow_run_id is a template that was not rendered"):
        airflow.run(task)
    task.workflow_run_id = workflow_run_id
    with fails_for_good(exc.WhiteRabbitInputError, "workflow_run_id"):
        airflow.run(task)
    assert not whiterabbit_emulator.journal


def test_defaults() -> None:
    """Id, connection and times are templated; mode and interval have the defaults of Airflow's own sensors."""
    task = sensor("r")
    assert task.template_fields == ("workflow_run_id", "whiterabbit_conn_id", "poke_interval", "timeout")
    assert (task.deferrable, task.mode, task.poke_interval) == (False, "poke", 60.0)
