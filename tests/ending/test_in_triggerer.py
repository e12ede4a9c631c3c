"""Ending a task in the triggerer: which event the trigger sends, and which XComs its supervisor stores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.triggers.base import TaskSkippedEvent, TriggerEvent

from airflow_provider_whiterabbit.compat import DAG, AirflowFailException, AirflowSkipException
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.ending.in_triggerer import MAX_RECORD_BYTES
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor
from dev.harness.standins import FakeAirflow, FakeSupervisor, FakeTaskInstance
from tests.versions import needs_triggerer_end

UNKNOWN = "00000000-0000-0000-0000-000000000000"
LINK = "https://dashboard.example/{execution_id}"
SENSORS: dict[Any, Any] = {"record": WhiteRabbitExecutionSensor, "run_record": WhiteRabbitWorkflowRunSensor}
"""The sensors by the kind of record that they read."""


async def event_of(identity: str, task: Any = None, kind: Any = "record", **arguments: Any) -> TriggerEvent:
    """Run a trigger that may end its task, and return its event.

    :param task: the sensor, if the task started in the triggerer; None if a worker deferred the task.
    :param kind: one of SENSORS.
    """
    trigger = SENSORS[kind].trigger_class(identity, end_from_trigger=True, **arguments)
    trigger.task_instance = FakeTaskInstance(map_index=None, task=task)  # type: ignore[assignment]
    async with asyncio.timeout(120):
        (event,) = [event async for event in trigger.run()]
    return event


def resume(event: TriggerEvent, identity: str, kind: Any, **arguments: Any) -> Any:
    """Resume the task in a worker after a trigger's event, and return the task's result."""
    task = SENSORS[kind](task_id="wait", deferrable=True, **{SENSORS[kind].waits_for.id_name: identity}, **arguments)
    kwargs = {"event": event.payload, "identity": identity}
    return task.resume_execution("execute_complete", kwargs, FakeAirflow().context(task))


def handed_over(execution_id: str, status: str = "COMPLETED") -> dict[str, Any]:
    """Return the payload of an event after which a worker ends the task."""
    return {"execution_id": execution_id, "status": status, "message": None}


@needs_triggerer_end
async def test_success(whiterabbit_emulator: Emulator, supervisor: FakeSupervisor) -> None:
    """The trigger stores output and credits as XComs, and sends an event that holds neither."""
    event = await event_of(whiterabbit_emulator.create_execution("X", output={"a": 1}, usage=2.5))
    assert type(event).__name__ == "TaskSuccessEvent"
    assert supervisor.xcoms == {"return_value": {"a": 1}, "usage": 2.5}


async def test_no_supervisor(whiterabbit_emulator: Emulator) -> None:
    """If the trigger has no supervisor that stores the output, a worker ends the task."""
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1})
    assert (await event_of(execution_id)).payload == handed_over(execution_id)


@needs_triggerer_end
@pytest.mark.usefixtures("supervisor")
@pytest.mark.parametrize("error", ["bad", {"message": "bad"}])
async def test_failure(whiterabbit_emulator: Emulator, error: Any) -> None:
    """The trigger skips a task with soft_fail; otherwise a worker fails the task, whether it has retries or not."""
    execution_id = whiterabbit_emulator.create_execution("X", error=error)
    assert isinstance(await event_of(execution_id, soft_fail=True), TaskSkippedEvent)
    for retries in 0, 2:  # stored triggers of an older version have the argument
        assert (await event_of(execution_id, retries=retries)).payload == handed_over(execution_id, "FAILED")


@needs_triggerer_end
async def test_timeout(whiterabbit_emulator: Emulator) -> None:
    """After the time-out, the trigger skips a task with soft_fail; otherwise a worker raises the time-out's message."""
    execution_id = whiterabbit_emulator.create_execution("X", manual=True)
    assert isinstance(await event_of(execution_id, timeout=0.2, soft_fail=True), TaskSkippedEvent)
    payload = (await event_of(execution_id, timeout=0.2)).payload
    assert payload["status"] == "TIMEOUT"
    assert "had not ended at the deadline" in payload["message"]


def ending(wr: Emulator, kind: Any, **end: Any) -> str:
    """Create an execution or a workflow run that ends while a trigger follows its stream; return its id."""
    if kind == "record":
        return wr.create_execution("X", after=0.3, **end)
    wr.script_workflow("flow", [{"module": "X", "after": 0.3, **end}])
    return wr.create_run("flow")


@needs_triggerer_end
@pytest.mark.parametrize("kind", SENSORS)
@pytest.mark.parametrize("soft_fail", [False, True])
async def test_lagging_record(
    whiterabbit_emulator: Emulator, supervisor: FakeSupervisor, read_log: Callable[[], str], kind: Any, soft_fail: bool
) -> None:
    """If the record does not show the end yet, a worker ends the task, and waits until the record shows the end."""
    wr = whiterabbit_emulator
    identity = ending(wr, kind, output={"a": 1})
    wr.fault(effects.Alter({"status": "EXECUTING"}), kind=kind, skip=1, times=2)  # the second is read by the worker
    event = await event_of(identity, kind=kind, soft_fail=soft_fail)
    assert event.payload["status"] == "COMPLETED"
    assert "A worker ends the task: WhiteRabbitError: the wait ended with COMPLETED, but the record" in read_log()
    assert not supervisor.xcoms
    result = resume(event, identity, kind, soft_fail=soft_fail)
    assert result == ({"a": 1} if kind == "record" else wr.run(identity))


@needs_triggerer_end
@pytest.mark.parametrize("kind", SENSORS)
async def test_lagging_record_of_a_failure(
    whiterabbit_emulator: Emulator, supervisor: FakeSupervisor, kind: Any
) -> None:
    """The trigger skips no task before the record shows the failure; a worker waits for the record, and skips."""
    identity = ending(whiterabbit_emulator, kind, error="no funds")
    whiterabbit_emulator.fault(effects.Alter({"status": "EXECUTING"}), kind=kind, skip=1, times=2)
    event = await event_of(identity, kind=kind, soft_fail=True)
    assert event.payload["status"] == "FAILED"
    assert not supervisor.xcoms
    with pytest.raises(AirflowSkipException, match="no funds"):
        resume(event, identity, kind, soft_fail=True)


@needs_triggerer_end
@pytest.mark.parametrize("kind", SENSORS)
@pytest.mark.parametrize(
    ("end", "seen", "said"),
    [({"output": 1}, "COMPLETED", {"status": "FAILED", "error": "bad"}), ({"error": "bad"}, "FAILED", {"output": 1})],
    ids=["completed", "failed"],
)
async def test_contradicting_record(
    whiterabbit_emulator: Emulator,
    supervisor: FakeSupervisor,
    read_log: Callable[[], str],
    kind: Any,
    end: dict[str, Any],
    seen: str,
    said: dict[str, Any],
) -> None:
    """If the record says something else than the stream, a worker decides, also with soft_fail."""
    identity = ending(whiterabbit_emulator, kind, **end)
    whiterabbit_emulator.fault(effects.Alter({"status": "COMPLETED", **said}), kind=kind, skip=1)
    event = await event_of(identity, kind=kind, soft_fail=True)
    assert event.payload["status"] == seen
    assert f"ended with {seen}, but the record read next says" in read_log()
    assert not supervisor.xcoms


async def test_error() -> None:
    """After an error that says nothing of the execution, a worker ends the task, so that Airflow retries it."""
    assert (await event_of(UNKNOWN)).payload["status"] == "ERROR"


async def test_large_output(whiterabbit_emulator: Emulator, supervisor: FakeSupervisor) -> None:
    """If the output has more than a megabyte, a worker ends the task."""
    execution_id = whiterabbit_emulator.create_execution("X", output="x" * (MAX_RECORD_BYTES + 1))
    assert (await event_of(execution_id)).payload == handed_over(execution_id)
    assert not supervisor.xcoms


@needs_triggerer_end
async def test_output_that_cannot_be_stored(
    whiterabbit_emulator: Emulator, supervisor: FakeSupervisor, read_log: Callable[[], str]
) -> None:
    """If Airflow can't store the output, a worker ends the task; the trigger stores no XCom, and its log says why."""
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": ["half \ud83d"]}, usage=2.5)
    event = await event_of(execution_id)
    assert event.payload == handed_over(execution_id)
    assert not supervisor.xcoms
    assert "it has the character U+D83D at $.a[0]" in read_log()
    with pytest.raises(AirflowFailException, match="is paid for"):
        resume(event, execution_id, "record")


async def test_failing_record(whiterabbit_emulator: Emulator, supervisor: FakeSupervisor) -> None:
    """If the trigger cannot read the record once more, a worker ends the task, because workers retry the read."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    whiterabbit_emulator.fault(effects.Answer(503), kind="record", skip=1, times=1)
    assert (await event_of(execution_id)).payload["status"] == "COMPLETED"
    assert not supervisor.xcoms


@needs_triggerer_end
async def test_custom_xcom_backend(
    whiterabbit_emulator: Emulator, supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a custom XCom backend, which may do I/O, a worker ends the task."""
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time import xcom

    monkeypatch.setattr(xcom, "XCom", type("Custom", (BaseXCom,), {}))
    event = await event_of(whiterabbit_emulator.create_execution("X", output=1))
    assert event.payload["status"] == "COMPLETED"
    assert not supervisor.xcoms


@pytest.fixture
def links(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the address of executions in the dashboard to the connection."""
    connection = whiterabbit_emulator.connection
    connection["extra"]["execution_url"] = LINK
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))


@needs_triggerer_end
@pytest.mark.usefixtures("links")
async def test_xcoms_are_sent_together(whiterabbit_emulator: Emulator, supervisor: FakeSupervisor) -> None:
    """If the task started in the triggerer, the trigger sends link, credits and output at the same time."""
    supervisor.together = 3
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1}, usage=2.5)
    with DAG("d", schedule=None):
        sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, start_from_trigger=True)
    event = await event_of(execution_id, task=sensor)
    assert type(event).__name__ == "TaskSuccessEvent"
    link = LINK.format(execution_id=execution_id)
    assert supervisor.xcoms == {"whiterabbit_link": link, "usage": 2.5, "return_value": {"a": 1}}


@needs_triggerer_end
@pytest.mark.usefixtures("links")
async def test_link_of_a_worker(whiterabbit_emulator: Emulator, supervisor: FakeSupervisor) -> None:
    """The trigger of a task that a worker deferred does not store the link, which the worker has stored."""
    supervisor.together = 2
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1}, usage=2.5)
    await event_of(execution_id)
    assert supervisor.xcoms == {"usage": 2.5, "return_value": {"a": 1}}


@needs_triggerer_end
@pytest.mark.parametrize("refused", ["usage", "return_value"])
async def test_refused_xcom(whiterabbit_emulator: Emulator, supervisor: FakeSupervisor, refused: str) -> None:
    """If an XCom cannot be stored, a worker ends the task, and stores all XComs again."""
    supervisor.together, supervisor.refused = 2, refused
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1}, usage=2.5)
    assert (await event_of(execution_id)).payload == handed_over(execution_id)
