"""The sensor of workflow runs over real sockets; what both sensors share is tested with executions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor
from airflow_provider_whiterabbit.triggers.workflow import WhiteRabbitWorkflowRunTrigger

STARTED = datetime(2026, 11, 24, tzinfo=UTC)


class TaskInstance:
    """As much of a task instance as a sensor looks at."""

    start_date = STARTED
    dag_id, task_id, run_id, map_index = "d", "wait", "r", -1
    try_number, max_tries = 1, 0

    def get_first_reschedule_date(self, context: Any) -> None:
        """Say that this is the first look."""

    def xcom_push(self, key: str, value: Any) -> None:
        assert key == "usage"


CONTEXT: Any = {"ti": TaskInstance()}


@pytest.fixture(autouse=True)
def connection(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)


def sensor(workflow_run_id: str, **arguments: Any) -> WhiteRabbitWorkflowRunSensor:
    return WhiteRabbitWorkflowRunSensor(task_id="wait", workflow_run_id=workflow_run_id, **arguments)


def create(wr: Emulator, *stages: Any, **ending: Any) -> str:
    wr.script_workflow("flow", stages, **ending)
    return wr.create_run("flow")


@pytest.mark.parametrize("deferrable", [False, True])
def test_result(whiterabbit_emulator: Emulator, deferrable: bool) -> None:
    """The record with the stages and their outputs is the return value; a run that has ended does not defer."""
    wr = whiterabbit_emulator
    run_id = create(wr, {"module": "A", "output": {"a": [1, None]}}, {"module": "B", "output": 0})
    result = sensor(run_id, deferrable=deferrable).execute(CONTEXT)
    assert result == wr.run(run_id)
    assert [stage["output"] for stage in result["runStages"]] == [{"a": [1, None]}, 0]
    assert type(result) is dict


def test_poke(whiterabbit_emulator: Emulator) -> None:
    """`poke` reads until the run has ended."""
    wr = whiterabbit_emulator
    run_id = create(wr, {"module": "A", "polls": 3, "output": 1})
    assert sensor(run_id, poke_interval=0.01).execute(CONTEXT)["status"] == "COMPLETED"
    assert {entry.kind for entry in wr.journal} == {"run_record"}


def test_progress_is_logged(whiterabbit_emulator: Emulator, said: Callable[[], str]) -> None:
    """Each look says how far the run got."""
    run_id = create(whiterabbit_emulator, {"module": "A", "output": 1, "usage": 2}, {"module": "B", "manual": True})
    assert sensor(run_id).poke(CONTEXT) is False
    assert f"Workflow run {run_id}: EXECUTING, 1 of 2 stages done, 2 credits" in said()


def test_time_is_up_in_the_worker(whiterabbit_emulator: Emulator) -> None:
    """Time that is up is Airflow's time-out."""
    run_id = create(whiterabbit_emulator, {"module": "A", "manual": True})
    with pytest.raises(AirflowSensorTimeout):
        sensor(run_id, timeout=0.02, poke_interval=0.01).execute(CONTEXT)


@pytest.mark.airflow  # in Airflow 2 a sensor looks for its first start in the database
def test_reschedule(whiterabbit_emulator: Emulator) -> None:
    """`reschedule` looks once and frees the worker until the next look."""
    run_id = create(whiterabbit_emulator, {"module": "A", "manual": True})
    with pytest.raises(AirflowRescheduleException):
        sensor(run_id, mode="reschedule").execute(CONTEXT)
    assert len(whiterabbit_emulator.journal) == 1
    whiterabbit_emulator.complete_stage(run_id, 0, 1)
    assert sensor(run_id, mode="reschedule").execute(CONTEXT)["status"] == "COMPLETED"


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("lenient", ["soft_fail", "never_fail", ""])
@pytest.mark.parametrize("status", ["FAILED", "CANCELED"])
def test_bad_end(whiterabbit_emulator: Emulator, deferrable: bool, lenient: str, status: str) -> None:
    """FAILED and CANCELED fail without retries and say why; soft_fail and never_fail skip."""
    stages: list[Any] = [{"module": "QUOTE", "output": 1}, {"module": "SWAP", "error": {"message": "no funds"}}]
    wr = whiterabbit_emulator
    if status == "FAILED":
        run_id, why = create(wr, *stages), "stage 2 (SWAP) FAILED: no funds"
    else:
        run_id, why = create(wr, stages[0], ending="CANCELED", reason="second thoughts"), "second thoughts"
    task = sensor(run_id, deferrable=deferrable, **({lenient: True} if lenient else {}))
    with pytest.raises(AirflowSkipException if lenient else AirflowFailException) as caught:
        task.execute(CONTEXT)
    assert f"Workflow run {run_id} {status}" in str(caught.value.__cause__ if lenient else caught.value)
    assert why in str(caught.value.__cause__ if lenient else caught.value)


@pytest.mark.parametrize("deferrable", [False, True])
def test_unknown_run_is_never_hidden(deferrable: bool) -> None:
    """An unknown run is no failed run: soft_fail does not skip it."""
    task = sensor("00000000-0000-0000-0000-000000000000", deferrable=deferrable, soft_fail=True)
    with pytest.raises(exc.WhiteRabbitNotFoundError):
        task.execute(CONTEXT)


def test_deferral(whiterabbit_emulator: Emulator) -> None:
    """The trigger of workflow runs takes over, until the sensor's time-out."""
    run_id = create(whiterabbit_emulator, {"module": "A", "manual": True})
    with pytest.raises(TaskDeferred) as caught:
        sensor(run_id, deferrable=True, timeout=timedelta(minutes=1), poke_interval=7).execute(CONTEXT)
    assert isinstance(caught.value.trigger, WhiteRabbitWorkflowRunTrigger)
    assert caught.value.trigger.serialize()[1] == {
        "workflow_run_id": run_id,
        "whiterabbit_conn_id": "whiterabbit_default",
        "poll_interval": 7.0,
        "deadline": STARTED + timedelta(minutes=1),
        "timeout": None,
    }
    assert caught.value.kwargs == {"identity": run_id}


@pytest.mark.parametrize("given", [True, False])
def test_resume(whiterabbit_emulator: Emulator, given: bool) -> None:
    """The resuming worker reads the record and returns it; an id that was not passed on is the sensor's own."""
    run_id = create(whiterabbit_emulator, {"module": "A", "output": 1})
    event = {"workflow_run_id": run_id, "status": "COMPLETED", "message": None}
    resumed = sensor(run_id, deferrable=True).execute_complete(
        CONTEXT, event, **({"identity": run_id} if given else {})
    )
    assert resumed == whiterabbit_emulator.run(run_id)


def test_resume_canceled(whiterabbit_emulator: Emulator) -> None:
    """CANCELED is an end that the trigger tells of, and the record says why."""
    run_id = create(whiterabbit_emulator, {"module": "A", "output": 1}, ending="CANCELED", reason="second thoughts")
    event = {"workflow_run_id": run_id, "status": "CANCELED", "message": None}
    with pytest.raises(AirflowFailException, match="second thoughts"):
        sensor(run_id, deferrable=True).execute_complete(CONTEXT, event)


def test_time_is_up() -> None:
    """The trigger's time-out becomes the exception that poke mode would raise."""
    with pytest.raises(AirflowSensorTimeout, match="did not end"):
        sensor("r", deferrable=True).execute_complete(
            CONTEXT, {"workflow_run_id": "r", "status": "TIMEOUT", "message": "r did not end in time"}
        )


def test_event_of_an_execution() -> None:
    """What an execution's trigger says is none of ours."""
    with pytest.raises(exc.WhiteRabbitProtocolError):
        sensor("r").execute_complete(CONTEXT, {"execution_id": "r", "status": "COMPLETED", "message": None})


@pytest.mark.parametrize("workflow_run_id", ["../x", "", "{{ unrendered }}"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_unsafe_id(whiterabbit_emulator: Emulator, workflow_run_id: str, deferrable: bool) -> None:
    """An id that is none is refused before anything is sent or deferred."""
    with pytest.raises(exc.WhiteRabbitInputError, match="workflow_run_id"):
        sensor(workflow_run_id, deferrable=deferrable).execute(CONTEXT)
    assert not whiterabbit_emulator.journal


def test_defaults() -> None:
    """`workflow_run_id` and the connection are templated; how to wait is as Airflow's own sensors have it."""
    task = sensor("r")
    assert task.template_fields == ("workflow_run_id", "whiterabbit_conn_id")
    assert (task.deferrable, task.mode, task.poke_interval) == (False, "poke", 60.0)
