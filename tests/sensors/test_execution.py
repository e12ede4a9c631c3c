"""The sensor's own logic, over real sockets; what only a scheduler and a triggerer can show is in tests/e2e."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from tests.versions import needs_triggerer_path

STARTED = datetime(2026, 11, 24, tzinfo=UTC)


class TaskInstance:
    """As much of a task instance as a sensor looks at."""

    start_date = STARTED

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


CONTEXT: Any = {"ti": TaskInstance()}


@pytest.fixture(autouse=True)
def connection(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)


def sensor(execution_id: str, **arguments: Any) -> WhiteRabbitExecutionSensor:
    return WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, **arguments)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("output", [{"a": [1, None]}, [], "text", 0, False, None])
def test_output(whiterabbit_emulator: Emulator, deferrable: bool, output: Any) -> None:
    """The output is the return value, as the API gave it; an execution that has ended does not defer."""
    execution_id = whiterabbit_emulator.create_execution("X", output=output)
    assert sensor(execution_id, deferrable=deferrable).execute(CONTEXT) == output


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("lenient", ["soft_fail", "never_fail", ""])
def test_failed(whiterabbit_emulator: Emulator, deferrable: bool, lenient: str) -> None:
    """FAILED fails without retries, with White Rabbit's error; soft_fail and never_fail skip."""
    execution_id = whiterabbit_emulator.create_execution("X", error={"message": "no funds", "code": 7})
    expected = AirflowSkipException if lenient else AirflowFailException
    task = sensor(execution_id, deferrable=deferrable, **({lenient: True} if lenient else {}))
    with pytest.raises(expected) as caught:
        task.execute(CONTEXT)
    text = str(caught.value.__cause__ if lenient else caught.value)
    assert execution_id in text
    assert "no funds" in text


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("lenient", ["soft_fail", ""])
def test_unknown_execution_is_never_hidden(whiterabbit_emulator: Emulator, deferrable: bool, lenient: str) -> None:
    """An unknown execution and a refused key are no failures of an execution: soft_fail does not skip them."""
    task = sensor("00000000-0000-0000-0000-000000000000", deferrable=deferrable, **({lenient: True} if lenient else {}))
    with pytest.raises(exc.WhiteRabbitNotFoundError):
        task.execute(CONTEXT)


def test_never_fail_means_never(whiterabbit_emulator: Emulator) -> None:
    """never_fail skips on anything, deferred or not, because that is what it says."""
    for deferrable in (False, True):
        task = sensor("00000000-0000-0000-0000-000000000000", deferrable=deferrable, never_fail=True)
        with pytest.raises(AirflowSkipException):
            task.execute(CONTEXT)
    with pytest.raises(AirflowSkipException):
        resume(task, {"execution_id": "e", "status": "ERROR", "message": "refused"})


def test_trouble_that_may_pass(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """White Rabbit being out of order means not yet, also when a single read has given up."""
    monkeypatch.setattr("airflow_provider_whiterabbit.client.retry.FIRST_PAUSE", 0)
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", output=1)
    wr.fault(effects.Answer(503), kind="record", times=7)
    assert sensor(execution_id, poke_interval=0.01).execute(CONTEXT) == 1
    wr.fault(effects.Answer(503), kind="record", times=5)
    with pytest.raises(TaskDeferred):
        sensor(execution_id, deferrable=True).execute(CONTEXT)


def resume(task: WhiteRabbitExecutionSensor, event: Any) -> Any:
    """Resume a task as Airflow does."""
    return task.resume_execution("execute_complete", {"event": event}, CONTEXT)


@needs_triggerer_path
def test_why_a_worker_ends_it(whiterabbit_emulator: Emulator, said: Callable[[], str]) -> None:
    """A task that started in the triggerer hears from its worker what the triggerer can't know."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    there: dict[str, Any] = {"start_from_trigger": True, "end_from_trigger": True}
    for arguments, lines in ({}, 0), ({"post_execute": lambda context, result: None}, 1):
        event = {"execution_id": execution_id, "status": "COMPLETED", "message": None}
        assert resume(sensor(execution_id, **there, **arguments), event) == 1
        assert said().count("A worker ends the task: it has a post_execute hook") == lines


def deferral(task: WhiteRabbitExecutionSensor) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.execute(CONTEXT)
    return caught.value


@pytest.mark.parametrize(
    ("timeout", "execution_timeout", "patience"),
    [(100, None, 100), (timedelta(minutes=1), None, 60), (100, timedelta(seconds=40), 40), (40, timedelta(100), 40)],
)
def test_deadline(
    whiterabbit_emulator: Emulator, timeout: Any, execution_timeout: timedelta | None, patience: float
) -> None:
    """The wait is bounded by what comes first, from the task's start on; Airflow's own time-out lies behind it."""
    execution_id = whiterabbit_emulator.create_execution("X", manual=True)
    deferred = deferral(
        sensor(execution_id, deferrable=True, timeout=timeout, execution_timeout=execution_timeout, poke_interval=7)
    )
    assert isinstance(deferred.trigger, WhiteRabbitExecutionTrigger)
    assert deferred.trigger.serialize()[1] == {
        "execution_id": execution_id,
        "whiterabbit_conn_id": "whiterabbit_default",
        "poll_interval": 7.0,
        "deadline": STARTED + timedelta(seconds=patience),
        "timeout": None,
    }
    assert deferred.timeout > timedelta()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, AirflowSensorTimeout),
        ({"execution_timeout": timedelta(seconds=1)}, AirflowTaskTimeout),
        ({"execution_timeout": timedelta(seconds=1), "soft_fail": True}, AirflowSkipException),
    ],
)
def test_time_is_up(arguments: dict[str, Any], expected: type[BaseException]) -> None:
    """The trigger's time-out becomes the exception that poke mode would raise."""
    task = sensor("e", deferrable=True, **arguments)
    with pytest.raises(expected, match="did not end"):
        resume(task, {"execution_id": "e", "status": "TIMEOUT", "message": "e did not end in time"})


def test_resume(whiterabbit_emulator: Emulator) -> None:
    """The resuming worker reads the record and returns its output."""
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1})
    event = {"execution_id": execution_id, "status": "COMPLETED", "message": None}
    assert sensor(execution_id, deferrable=True).execute_complete(CONTEXT, event) == {"a": 1}


def test_resume_believes_the_record(whiterabbit_emulator: Emulator) -> None:
    """An event that is ahead of the record, or an API that is out of order, leads to patience, not to a wrong end."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", polls=3, output=1)
    wr.fault(effects.Answer(503), kind="record", times=2)
    event = {"execution_id": execution_id, "status": "COMPLETED", "message": None}
    wr.fault(effects.Close(events=1), kind="stream", times=None)
    assert sensor(execution_id, deferrable=True).execute_complete(CONTEXT, event) == 1


def test_error_event() -> None:
    """What ended the wait in the triggerer is raised as an error that soft_fail does not hide."""
    task = sensor("e", deferrable=True, soft_fail=True)
    with pytest.raises(exc.WhiteRabbitError, match="key refused"):
        resume(task, {"execution_id": "e", "status": "ERROR", "message": "key refused"})


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, AirflowSensorTimeout),
        ({"execution_timeout": timedelta(hours=1)}, AirflowTaskTimeout),
        ({"soft_fail": True}, AirflowSkipException),
    ],
)
def test_no_triggerer_in_time(error: str, arguments: dict[str, Any], expected: type[BaseException]) -> None:
    """Airflow's own time-out, which lies behind ours, is one like any other, as each version calls it."""
    with pytest.raises(expected, match="no triggerer"):
        sensor("e", deferrable=True, **arguments).resume_execution("__fail__", {"error": error}, CONTEXT)


def test_broken_trigger_is_never_hidden() -> None:
    """Neither a trigger that can't be loaded nor a connection that is gone says anything of the execution."""
    task = sensor("e", deferrable=True, soft_fail=True, whiterabbit_conn_id="gone")
    with pytest.raises(AirflowException, match="Trigger failure"):
        task.resume_execution("__fail__", {"error": "Trigger failure", "traceback": ["no module"]}, CONTEXT)
    with pytest.raises(AirflowNotFoundException, match="gone"):
        resume(task, {"execution_id": "e", "status": "COMPLETED", "message": None})


@pytest.mark.parametrize(
    "event",
    [
        None,
        "success",
        [1],
        {},
        {"status": "COMPLETED"},
        {"execution_id": "another", "status": "COMPLETED", "message": None},
        {"execution_id": "e", "status": "PAUSED", "message": None},
    ],
)
def test_foreign_event(event: Any) -> None:
    """An event that is none of ours is never a success."""
    with pytest.raises(exc.WhiteRabbitProtocolError):
        sensor("e", deferrable=True).execute_complete(CONTEXT, event)


@pytest.mark.parametrize("execution_id", ["../x", "", "{{ unrendered }}"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_unsafe_id(whiterabbit_emulator: Emulator, execution_id: str, deferrable: bool) -> None:
    """An id that is none is refused before anything is sent or deferred."""
    with pytest.raises(exc.WhiteRabbitInputError, match="execution_id"):
        sensor(execution_id, deferrable=deferrable).execute(CONTEXT)
    assert not whiterabbit_emulator.journal


def test_defaults() -> None:
    """`execution_id` and the connection are templated; how to wait is as Airflow's own sensors have it."""
    task = sensor("e")
    assert task.template_fields == ("execution_id", "whiterabbit_conn_id")
    assert (task.deferrable, task.mode, task.poke_interval) == (False, "poke", 60.0)
