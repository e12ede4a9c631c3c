"""The sensor of executions, over real sockets; `tests/e2e` runs it with a scheduler and a triggerer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import (
    AIRFLOW_V_3_0_PLUS,
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.versions import needs_missing_connections, needs_triggerer_end

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def sensor(execution_id: str, **arguments: Any) -> WhiteRabbitExecutionSensor:
    """Return a sensor of an execution."""
    return WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, **arguments)


def resume(airflow: FakeAirflow, task: WhiteRabbitExecutionSensor, event: Any) -> Any:
    """Resume a task after a trigger event, as Airflow does."""
    return task.resume_execution("execute_complete", {"event": event}, airflow.context(task))


def end_event(execution_id: str, status: str = "COMPLETED", message: str | None = None) -> dict[str, Any]:
    """Return an event of the trigger."""
    return {"execution_id": execution_id, "status": status, "message": message}


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("output", [{"a": [1, None]}, [], "text", 0, False, None])
def test_output(airflow: FakeAirflow, whiterabbit_emulator: Emulator, deferrable: bool, output: Any) -> None:
    """The sensor returns the output as the API gave it, and does not defer if the execution has ended."""
    execution_id = whiterabbit_emulator.create_execution("X", output=output)
    assert airflow.run(sensor(execution_id, deferrable=deferrable)) == output


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 stores all outputs")
@pytest.mark.parametrize("lenient", ["silent_fail", ""])
def test_output_that_cannot_be_stored(airflow: FakeAirflow, whiterabbit_emulator: Emulator, lenient: str) -> None:
    """An output that Airflow can't store fails the task at once; no further poke would mend it, or count it again."""
    execution_id = whiterabbit_emulator.create_execution("X", output="\0")
    with pytest.raises(AirflowFailException, match="U\\+0000"):
        airflow.run(sensor(execution_id, poke_interval=0.1, timeout=60, **({lenient: True} if lenient else {})))
    assert len(whiterabbit_emulator.requests(kind="record")) == 1


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("lenient", ["soft_fail", "never_fail", ""])
def test_failed(airflow: FakeAirflow, whiterabbit_emulator: Emulator, deferrable: bool, lenient: str) -> None:
    """FAILED fails the task without retries, with White Rabbit's error; soft_fail and never_fail skip the task."""
    execution_id = whiterabbit_emulator.create_execution("X", error={"message": "no funds", "code": 7})
    expected = AirflowSkipException if lenient else AirflowFailException
    task = sensor(execution_id, deferrable=deferrable, **({lenient: True} if lenient else {}))
    with pytest.raises(expected) as caught:
        airflow.run(task)
    text = str(caught.value.__cause__ if lenient else caught.value)
    assert execution_id in text
    assert "no funds" in text


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("lenient", ["soft_fail", ""])
def test_unknown_execution_is_never_skipped(airflow: FakeAirflow, deferrable: bool, lenient: str) -> None:
    """An unknown execution raises an error, also with soft_fail: it is not a failed execution."""
    task = sensor(UNKNOWN, deferrable=deferrable, **({lenient: True} if lenient else {}))
    with pytest.raises(exc.WhiteRabbitNotFoundError) if lenient else fails_for_good(exc.WhiteRabbitNotFoundError):
        airflow.run(task)


def test_never_fail_skips_always(airflow: FakeAirflow) -> None:
    """With never_fail, every error skips the task, deferred or not."""
    for deferrable in (False, True):
        task = sensor(UNKNOWN, deferrable=deferrable, never_fail=True)
        with pytest.raises(AirflowSkipException):
            airflow.run(task)
    with pytest.raises(AirflowSkipException):
        resume(airflow, task, end_event("e", "ERROR", "refused"))


def test_outage(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """During an outage, a sensor in poke mode pokes again, and a deferrable sensor defers."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", output=1)
    wr.fault(effects.Answer(503), kind="record", times=7)
    assert airflow.run(sensor(execution_id, poke_interval=0.01)) == 1
    wr.fault(effects.Answer(503), kind="record", times=5)
    with pytest.raises(TaskDeferred):
        airflow.run(sensor(execution_id, deferrable=True))


@pytest.mark.parametrize("status", [302, 401, 403, 404, 409, 425, 451])
def test_pages_of_strangers(airflow: FakeAirflow, whiterabbit_emulator: Emulator, status: int) -> None:
    """A page that a proxy sends instead of the record is an outage: the sensor pokes again, or defers."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", output=1)
    page = effects.Answer(status, "<html>back in a minute</html>")
    wr.fault(page, kind="record", times=3)
    assert airflow.run(sensor(execution_id, poke_interval=0.01)) == 1
    wr.fault(page, kind="record")
    with pytest.raises(TaskDeferred):
        airflow.run(sensor(execution_id, deferrable=True))


def test_unknown_status(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """An unknown status of an execution that has not ended makes the sensor poke again."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", output=1)
    wr.fault(effects.Alter({"status": "PAUSED", "completed": False}), kind="record", times=2)
    assert airflow.run(sensor(execution_id, poke_interval=0.01)) == 1


@needs_triggerer_end
def test_log_of_obstacles(airflow: FakeAirflow, whiterabbit_emulator: Emulator, read_log: Callable[[], str]) -> None:
    """A worker that ends a task which started in the triggerer logs why the triggerer could not end the task."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    there: dict[str, Any] = {"start_from_trigger": True, "end_from_trigger": True}
    for arguments, lines in ({}, 0), ({"post_execute": lambda context, result: None}, 1):
        assert resume(airflow, sensor(execution_id, **there, **arguments), end_event(execution_id)) == 1
        assert read_log().count("A worker ends the task: it has a post_execute hook") == lines


@pytest.mark.parametrize(
    ("timeout", "execution_timeout", "wait_seconds"),
    [(100, None, 100), (timedelta(minutes=1), None, 60), (100, timedelta(seconds=40), 40), (40, timedelta(100), 40)],
)
def test_deadline(
    airflow: FakeAirflow,
    whiterabbit_emulator: Emulator,
    timeout: Any,
    execution_timeout: timedelta | None,
    wait_seconds: float,
) -> None:
    """The deadline is the earlier of both time-outs after the task's start."""
    execution_id = whiterabbit_emulator.create_execution("X", manual=True)
    task = sensor(execution_id, deferrable=True, timeout=timeout, execution_timeout=execution_timeout, poke_interval=7)
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(task)
    deferred = caught.value
    assert isinstance(deferred.trigger, WhiteRabbitExecutionTrigger)
    assert deferred.trigger.serialize()[1] == {
        "execution_id": execution_id,
        "whiterabbit_conn_id": "whiterabbit_default",
        "poll_interval": 7.0,
        "deadline": airflow.ti.start_date + timedelta(seconds=wait_seconds),
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
def test_timeout(airflow: FakeAirflow, arguments: dict[str, Any], expected: type[BaseException]) -> None:
    """A time-out of the trigger raises the exception that a time-out in poke mode raises."""
    task = sensor("e", deferrable=True, **arguments)
    with pytest.raises(expected, match="had not ended"):
        resume(airflow, task, end_event("e", "TIMEOUT", "e had not ended at the deadline"))


def test_resume(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """The resuming worker reads the record and returns the output."""
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1})
    task = sensor(execution_id, deferrable=True)
    assert task.execute_complete(airflow.context(task), end_event(execution_id)) == {"a": 1}


def test_resume_before_the_record_has_ended(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """If the record is behind the event, or cannot be read, the resuming worker waits for the end."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", polls=3, output=1)
    wr.fault(effects.Answer(503), kind="record", times=2)
    wr.fault(effects.Close(events=1), kind="stream", times=None)
    task = sensor(execution_id, deferrable=True)
    assert task.execute_complete(airflow.context(task), end_event(execution_id)) == 1


def test_error_event(airflow: FakeAirflow) -> None:
    """An error of the trigger raises an error, also with soft_fail."""
    task = sensor("e", deferrable=True, soft_fail=True)
    with pytest.raises(exc.WhiteRabbitError, match="key refused"):
        resume(airflow, task, end_event("e", "ERROR", "key refused"))


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, AirflowSensorTimeout),
        ({"execution_timeout": timedelta(hours=1)}, AirflowTaskTimeout),
        ({"soft_fail": True}, AirflowSkipException),
    ],
)
def test_deferral_timeout(
    airflow: FakeAirflow, error: str, arguments: dict[str, Any], expected: type[BaseException]
) -> None:
    """Airflow's own deferral timeout, by the name of each version, raises the same as the trigger's time-out."""
    task = sensor("e", deferrable=True, **arguments)
    with pytest.raises(expected, match="before a triggerer saw the end"):
        task.resume_execution("__fail__", {"error": error}, airflow.context(task))


@needs_missing_connections
def test_broken_trigger_is_never_skipped(airflow: FakeAirflow) -> None:
    """A trigger that cannot be loaded and a missing connection raise errors, also with soft_fail."""
    task = sensor("e", deferrable=True, soft_fail=True, whiterabbit_conn_id="gone")
    with pytest.raises(AirflowException, match="Trigger failure"):
        task.resume_execution(
            "__fail__", {"error": "Trigger failure", "traceback": ["no module"]}, airflow.context(task)
        )
    with pytest.raises(AirflowNotFoundException, match="gone"):
        resume(airflow, task, end_event("e"))


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
def test_unknown_event(airflow: FakeAirflow, event: Any) -> None:
    """An event that this provider does not know raises an error."""
    task = sensor("e", deferrable=True)
    with pytest.raises(exc.WhiteRabbitProtocolError):
        task.execute_complete(airflow.context(task), event)


@pytest.mark.parametrize("execution_id", ["../x", "", "None"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_unsafe_id(airflow: FakeAirflow, whiterabbit_emulator: Emulator, execution_id: str, deferrable: bool) -> None:
    """An id that cannot be part of a URL path is refused when the DAG is parsed, or before a request."""
    with pytest.raises(exc.WhiteRabbitInputError, match="execution_id"):
        sensor(execution_id, deferrable=deferrable)
    task = sensor("{{ id }}", deferrable=deferrable)
    with fails_for_good(exc.WhiteRabbitInputError, "execution_id is a template that was not rendered"):
        airflow.run(task)
    task.execution_id = execution_id
    with fails_for_good(exc.WhiteRabbitInputError, "execution_id"):
        airflow.run(task)
    assert not whiterabbit_emulator.journal


def test_defaults() -> None:
    """Id, connection and times are templated; mode and interval have the defaults of Airflow's own sensors."""
    task = sensor("e")
    assert task.template_fields == ("execution_id", "whiterabbit_conn_id", "poke_interval", "timeout")
    assert (task.deferrable, task.mode, task.poke_interval) == (False, "poke", 60.0)
