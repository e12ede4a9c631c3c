"""The sensor of many executions, over real sockets; `test_execution` tests what all sensors share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import (
    DAG,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
    XComArg,
)
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.ending.verdict import name_of_many
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.secrets import secret
from airflow_provider_whiterabbit.sensors.executions import WhiteRabbitExecutionsSensor
from airflow_provider_whiterabbit.triggers.executions import WhiteRabbitExecutionsTrigger
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.serialization import serialized

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def sensor(ids: Any, **arguments: Any) -> WhiteRabbitExecutionsSensor:
    """Return a sensor of executions."""
    return WhiteRabbitExecutionsSensor(task_id="wait", execution_ids=ids, **arguments)


def deferral(airflow: FakeAirflow, task: WhiteRabbitExecutionsSensor) -> TaskDeferred:
    """Execute a task until it defers."""
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(task)
    return caught.value


def resume(airflow: FakeAirflow, task: Any, event: Any, identity: Any = None) -> Any:
    """Resume a task after a trigger event, as Airflow does."""
    return task.resume_execution("execute_complete", {"event": event, "identity": identity}, airflow.context(task))


async def events_of(trigger: Any) -> list[Any]:
    """Run a trigger to its end."""
    return [event.payload async for event in trigger.run()]


@pytest.mark.parametrize("options", [{}, {"deferrable": True}], ids=str)
def test_ended(airflow: FakeAirflow, whiterabbit_emulator: Emulator, options: dict[str, Any]) -> None:
    """The result is a list in the order of the ids; the sensor does not defer if all have ended."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", output=number, usage=0.5) for number in range(40)]
    result = airflow.run(sensor([*ids, ids[3]], **options))
    assert result[:2] == [{"id": ids[n], "status": "COMPLETED", "output": n, "usage": 0.5} for n in (0, 1)]
    assert [one["output"] for one in result] == [*range(40), 3]
    assert airflow.ti.xcoms == {"usage": 20}
    assert len(wr.requests(kind="record")) == 40
    assert not wr.requests(kind="stream")


def test_deferred(airflow: FakeAirflow, whiterabbit_emulator: Emulator, read_log: Callable[[], str]) -> None:
    """The sensor defers after a look at the first records; then one trigger waits, and a worker reads all records."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("SLOW", output=number, manual=True) for number in range(100)]
    task = sensor(ids, deferrable=True)
    deferred = deferral(airflow, task)
    assert len(wr.requests(kind="record")) <= 32
    for number, execution_id in enumerate(ids):
        wr.complete(execution_id, number)
    trigger = deferred.trigger
    assert isinstance(trigger, WhiteRabbitExecutionsTrigger)
    assert "end_from_trigger" not in trigger.serialize()[1]
    (event,) = asyncio.run(events_of(trigger))
    assert event == {"execution_ids": name_of_many(ids), "status": "COMPLETED", "message": None}
    edited = sensor(["e"], deferrable=True)  # the DAG was edited meanwhile: what was waited for counts
    assert [one["output"] for one in resume(airflow, edited, event, (deferred.kwargs or {})["identity"])] == [
        *range(100)
    ]
    assert "Executions: 100 of 100 ended, 0 failed, 100 credits" in read_log()


@pytest.mark.parametrize("options", [{}, {"deferrable": True}], ids=str)
@pytest.mark.parametrize("lenient", ["soft_fail", "never_fail", ""])
def test_failed(airflow: FakeAirflow, whiterabbit_emulator: Emulator, options: dict[str, Any], lenient: str) -> None:
    """Executions that have failed fail the task for good, or skip it; the message names the first of them."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("PAY", error={"message": f"no funds {number}"}) for number in range(7)]
    ids.insert(0, wr.create_execution("PAY", output=1))
    task = sensor(ids, **options, **({lenient: True} if lenient else {}))
    with pytest.raises(AirflowSkipException if lenient else AirflowFailException) as caught:
        airflow.run(task)
    text = str(caught.value.__cause__ if lenient else caught.value)
    assert text.startswith(f"7 of 8 executions did not complete: Execution {ids[1]} (PAY) FAILED: no funds 0; Exec")
    assert "no funds 4; and 2 more" in text


def test_failures_are_returned(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """With ``return``, failed executions are part of the result, after all have ended."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", error={"message": "no"}), wr.create_execution("X", polls=3, output=1)]
    task = sensor(ids, on_failed_execution="return", poke_interval=0.01)
    assert [(one["status"], one.get("error"), one.get("output")) for one in airflow.run(task)] == [
        ("FAILED", {"message": "no"}, None),
        ("COMPLETED", None, 1),
    ]


@pytest.mark.parametrize("outputs", [False, "False", "false"])
def test_without_outputs(airflow: FakeAirflow, whiterabbit_emulator: Emulator, outputs: Any) -> None:
    """Outputs can be left out."""
    execution_id = whiterabbit_emulator.create_execution("X", output="large")
    assert airflow.run(sensor([execution_id], outputs=outputs)) == [
        {"id": execution_id, "status": "COMPLETED", "usage": 1}
    ]


def test_poke(airflow: FakeAirflow, whiterabbit_emulator: Emulator, read_log: Callable[[], str]) -> None:
    """A poke reads what is not known to have ended, up to the first that has not; an outage passes."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", output=1) for _ in range(40)]
    ids.insert(34, wr.create_execution("X", manual=True))
    task = sensor(ids)
    context = airflow.context(task)
    assert task.poke(context) is False
    assert len(wr.requests(kind="record")) == 41
    assert "Executions: at least 40 of 41 ended, 0 failed" in read_log()
    wr.fault(effects.Answer(503), kind="record")
    assert task.poke(context) is False
    wr.complete(ids[34], 1)
    result: Any = task.poke(context)
    assert len(result.xcom_value) == 41
    assert len(wr.requests(kind="record")) == 43


@pytest.mark.airflow  # in Airflow 2, a sensor reads its first start from the database
def test_reschedule(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """In reschedule mode, the worker is free between the reads."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", output=1), wr.create_execution("X", manual=True)]
    with pytest.raises(AirflowRescheduleException):
        airflow.run(sensor(ids, mode="reschedule"))
    wr.complete(ids[1], 2)
    assert [one["output"] for one in airflow.run(sensor(ids, mode="reschedule"))] == [1, 2]


def test_timeout(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """The timeouts raise Airflow's exception for sensors, in the worker, in the trigger, and that of the deferral."""
    ids = [whiterabbit_emulator.create_execution("X", manual=True)]
    with pytest.raises(AirflowSensorTimeout):
        airflow.run(sensor(ids, timeout=0.02, poke_interval=0.01))
    task = sensor(ids, deferrable=True, timeout=0.2)
    (event,) = asyncio.run(events_of(deferral(airflow, task).trigger))
    with pytest.raises(AirflowSensorTimeout, match="1 of 1 executions had not ended"):
        resume(airflow, task, event, ids)
    with pytest.raises(AirflowSensorTimeout, match=f"the executions {name_of_many(ids)}"):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, airflow.context(task))


@pytest.mark.parametrize("options", [{}, {"deferrable": True}], ids=str)
@pytest.mark.parametrize("lenient", ["soft_fail", ""])
def test_unknown_execution(airflow: FakeAirflow, options: dict[str, Any], lenient: str) -> None:
    """An unknown execution raises an error, also with soft_fail."""
    task = sensor([UNKNOWN], **options, **({lenient: True} if lenient else {}))
    with pytest.raises(exc.WhiteRabbitNotFoundError) if lenient else fails_for_good(exc.WhiteRabbitNotFoundError):
        airflow.run(task)


@pytest.mark.parametrize("options", [{}, {"deferrable": True}], ids=str)
def test_none(airflow: FakeAirflow, whiterabbit_emulator: Emulator, options: dict[str, Any]) -> None:
    """Without ids, the result is an empty list, at once."""
    assert airflow.run(sensor([], **options)) == []
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize("ids", [None, "e-1", 5, {"a": 1}, [None], ["../x"], ["None"], [["e"]]], ids=repr)
def test_wrong_ids(airflow: FakeAirflow, whiterabbit_emulator: Emulator, ids: Any) -> None:
    """What is not a list of ids is refused when the DAG is parsed, or before a request."""
    with pytest.raises(exc.WhiteRabbitInputError, match="execution_ids"):
        sensor(ids)
    task = sensor("{{ ids }}")
    task.execution_ids = ids
    with fails_for_good(exc.WhiteRabbitInputError, "execution_ids"):
        airflow.run(task)
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize(
    "arguments", [{"outputs": None}, {"outputs": "no"}, {"on_failed_execution": "resubmit"}], ids=str
)
def test_wrong_options(airflow: FakeAirflow, whiterabbit_emulator: Emulator, arguments: dict[str, Any]) -> None:
    """Wrong options are refused when the DAG is parsed, or before a request."""
    [(name, value)] = arguments.items()
    with pytest.raises(exc.WhiteRabbitInputError, match=name):
        sensor(["e"], **arguments)
    task = sensor(["e"], **{name: "{{ x }}"})
    setattr(task, name, value)
    with fails_for_good(exc.WhiteRabbitInputError, name):
        airflow.run(task)
    assert not whiterabbit_emulator.journal


def test_templates(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """The ids may be templates in a list, a template that renders to a JSON array, or another task's output."""
    ids = [whiterabbit_emulator.create_execution("X", output=number) for number in range(2)]
    with DAG("templates", schedule=None):
        upstream = WhiteRabbitExecuteComponentOperator(task_id="up", module="X")
        for number, given in enumerate((["{{ params.one }}", ids[1]], "{{ params.all | tojson }}", XComArg(upstream))):
            task = WhiteRabbitExecutionsSensor(task_id=f"wait_{number}", execution_ids=given)
            if number == 2:
                assert task.upstream_task_ids == {"up"}
                task.execution_ids = ids
            else:
                task.render_template_fields({"params": {"one": ids[0], "all": ids}})
            assert [one["output"] for one in airflow.run(task)] == [0, 1]


def test_native_rendering(airflow: FakeAirflow) -> None:
    """An id of which Airflow made a number is refused with the reason."""
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        task = WhiteRabbitExecutionsSensor(task_id="wait", execution_ids=["100"])
    task.render_template_fields({})
    with fails_for_good(exc.WhiteRabbitInputError, "render_template_as_native_obj"):
        airflow.run(task)


@pytest.mark.parametrize("name", ["start_from_trigger", "end_from_trigger"])
def test_a_worker_starts_and_ends_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The options of the deployment do not start or end the sensor in the triggerer."""
    monkeypatch.setenv(f"AIRFLOW__WHITERABBIT__{name.upper()}", "True")
    with DAG("worker", schedule=None) as dag:
        task = sensor(["e"], deferrable=True)
        WhiteRabbitExecutionsSensor.partial(task_id="mapped").expand(execution_ids=[["e"], ["f"]])
    assert not task.start_from_trigger
    assert not task.ends_in_triggerer
    assert serialized(dag).get_task("wait").start_trigger_args is None


def test_secrets(airflow: FakeAirflow, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden secrets have stars in their places, in outputs and errors; the trigger is told that there are some."""
    key = "Kj7dYw2mZq91XvbT"
    monkeypatch.setenv("AIRFLOW_VAR_RPC_KEY", key)
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", output=f"a{key}"), wr.create_execution("X", error=f"no {key}")]
    options = {"hidden_secrets": [secret(variable="rpc_key")], "on_failed_execution": "return"}
    result = airflow.run(sensor(ids, **options))
    assert [one.get("output", one.get("error")) for one in result] == ["a***", "no ***"]
    slow = wr.create_execution("X", manual=True)
    deferred = deferral(airflow, sensor([slow], deferrable=True, **options))
    assert deferred.trigger.serialize()[1]["inputs_are_secret"] is True
    wr.complete(slow, key)
    event = {"execution_ids": name_of_many([slow]), "status": "COMPLETED", "message": None}
    task, kwargs = sensor([slow], deferrable=True), {**(deferred.kwargs or {}), "event": event}
    assert task.resume_execution("execute_complete", kwargs, airflow.context(task))[0]["output"] == "***"


@pytest.mark.parametrize("part", ["output", "error"])
def test_what_airflow_cannot_store(airflow: FakeAirflow, whiterabbit_emulator: Emulator, part: str) -> None:
    """An output or an error that Airflow can't store fails the task, with the id and the place."""
    from airflow_provider_whiterabbit.ending.storable import _has_plain_xcoms

    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", output=1), wr.create_execution("X", **{part: {"a": "\u0000"}})]
    task = sensor(ids, on_failed_execution="return")
    if not _has_plain_xcoms():
        assert len(airflow.run(task)) == 2
        return
    with fails_for_good(
        exc.WhiteRabbitOutputError, rf"{ids[1]} has \w+ and is paid for.* its {part} .*U\+0000 at \$\.a"
    ):
        airflow.run(task)
    assert len(airflow.run(sensor(ids, on_failed_execution="return", outputs=part == "error", do_xcom_push=False))) == 2


@pytest.mark.parametrize("event", [None, {}, {"execution_ids": "1-abc", "status": "COMPLETED"}], ids=str)
def test_unknown_event(airflow: FakeAirflow, event: Any) -> None:
    """An event about other executions, or none, raises an error."""
    with pytest.raises(exc.WhiteRabbitProtocolError):
        resume(airflow, sensor(["e"], deferrable=True), event)


def test_lineage(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """OpenLineage gets the number and a digest of the ids and the credits; nothing before rendering.

    Failures that the task returns are no error of the task.
    """
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", output=1), wr.create_execution("X", error="no")]
    with DAG("lineage", schedule=None):
        task = sensor(
            XComArg(WhiteRabbitExecuteComponentOperator(task_id="up", module="X")), on_failed_execution="return"
        )
    assert task._lineage_facts()["identity"] is None
    task.execution_ids = ids
    airflow.run(task)
    facts = task._lineage_facts()
    assert (facts["identity"], facts["status"], facts["credits_spent"]) == (name_of_many(ids), "FAILED", 2)
    assert facts["failure"] is None


@pytest.mark.parametrize("options", [{}, {"deferrable": True}], ids=str)
def test_one_id_that_is_missing(airflow: FakeAirflow, whiterabbit_emulator: Emulator, options: dict[str, Any]) -> None:
    """An error about one of several ids names its place and its template, before anything is sent."""
    with DAG("ids", schedule=None):
        task = sensor(["e-1", "{{ params.first }}", "{{ params.last }}"], **options)
    task.render_template_fields({"params": {"first": "e-2", "last": ""}})
    message = r"execution_ids\[2\] must be an id .*got '' \(rendered from '\{\{ params.last \}\}'\)"
    with fails_for_good(exc.WhiteRabbitInputError, message):
        airflow.run(task)
    assert not whiterabbit_emulator.journal
