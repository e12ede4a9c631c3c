"""What keeps a task from ending in the triggerer, as far as it shows without one; tests/e2e shows the rest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TriggerEvent

from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.ending import in_triggerer as ending
from airflow_provider_whiterabbit.ending import obstacles as triggerer_path
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from tests.versions import needs_triggerer_path


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what would have been stored as XComs; the supervisor that does it is not here."""
    stored: dict[str, Any] = {}

    async def push(_ti: Any, xcoms: dict[str, Any]) -> None:
        stored.update(xcoms)

    monkeypatch.setattr(ending, "_push", push)
    return stored


async def end_of(execution_id: str, **arguments: Any) -> TriggerEvent:
    """Run a trigger that ends a task of which it is told, as by a worker that deferred it."""
    trigger = WhiteRabbitExecutionTrigger(execution_id, end_from_trigger=True, **arguments)
    trigger.task_instance = SimpleNamespace(task_id="wait")  # type: ignore[assignment]
    (event,) = [event async for event in trigger.run()]
    return event


@needs_triggerer_path
async def test_success(whiterabbit_emulator: Emulator, pushed: dict[str, Any]) -> None:
    """Output and usage are stored, and the event holds nothing of them."""
    event = await end_of(whiterabbit_emulator.create_execution("X", output={"a": 1}, usage=2.5))
    assert type(event).__name__ == "TaskSuccessEvent"
    assert pushed == {"return_value": {"a": 1}, "usage": 2.5, "whiterabbit_link": None}


async def test_result_that_cannot_be_stored(whiterabbit_emulator: Emulator) -> None:
    """Where the output can't be stored (here is no supervisor that would), a worker is to end the task."""
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1})
    event = await end_of(execution_id)
    assert event.payload == {"execution_id": execution_id, "status": "COMPLETED", "message": None}


@needs_triggerer_path
@pytest.mark.parametrize("error", ["bad", {"message": "bad"}])
async def test_failure(whiterabbit_emulator: Emulator, pushed: dict[str, Any], error: Any) -> None:
    """A failure ends the task here if no retry can follow, and skips it where that was asked for."""
    execution_id = whiterabbit_emulator.create_execution("X", error=error)
    assert isinstance(await end_of(execution_id), TaskFailedEvent)
    assert isinstance(await end_of(execution_id, soft_fail=True, retries=2), TaskSkippedEvent)
    event = await end_of(execution_id, retries=2)
    assert event.payload == {"execution_id": execution_id, "status": "FAILED", "message": None}


@needs_triggerer_path
async def test_late(whiterabbit_emulator: Emulator) -> None:
    """So does a time-out."""
    execution_id = whiterabbit_emulator.create_execution("X", manual=True)
    assert isinstance(await end_of(execution_id, timeout=0.2), TaskFailedEvent)


async def test_error_is_left_to_a_worker() -> None:
    """What is no verdict on an execution is raised by a worker, so that retries count."""
    event = await end_of("00000000-0000-0000-0000-000000000000")
    assert event.payload["status"] == "ERROR"


async def test_large_output(whiterabbit_emulator: Emulator, pushed: dict[str, Any]) -> None:
    """An output of more than a megabyte is left to a worker."""
    execution_id = whiterabbit_emulator.create_execution("X", output="x" * (triggerer_path.LARGEST_XCOM + 1))
    event = await end_of(execution_id)
    assert event.payload == {"execution_id": execution_id, "status": "COMPLETED", "message": None}
    assert not pushed


async def test_record_in_trouble(whiterabbit_emulator: Emulator, pushed: dict[str, Any]) -> None:
    """A record that can't be read in the end is left to a worker, which has more patience."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    whiterabbit_emulator.fault(effects.Answer(503), kind="record", skip=1, times=1)
    assert (await end_of(execution_id)).payload["status"] == "COMPLETED"
    assert not pushed


@pytest.mark.parametrize(
    ("version", "old"), [("2.11.0", True), ("3.2.2", True), ("3.3.0", True), ("3.3.1", False), ("3.4.0rc1", False)]
)
def test_version(monkeypatch: pytest.MonkeyPatch, version: str, old: bool) -> None:
    """Before 3.3.1 a sensor uses workers, and says so."""
    monkeypatch.setattr(triggerer_path, "airflow_version", version)
    assert bool(list(triggerer_path.of_version())) is old
    sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id="e", start_from_trigger=True)
    assert sensor.start_from_trigger is not old
    assert (sensor.start_trigger_args is None) is old


@needs_triggerer_path
async def test_custom_xcom_backend(
    whiterabbit_emulator: Emulator, pushed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A custom backend may do I/O, which is none of an event loop's business."""
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time import xcom

    monkeypatch.setattr(xcom, "XCom", type("Custom", (BaseXCom,), {}))
    event = await end_of(whiterabbit_emulator.create_execution("X", output=1))
    assert event.payload["status"] == "COMPLETED"
    assert not pushed


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch both options on for the whole deployment."""
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__START_FROM_TRIGGER", "True")
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__END_FROM_TRIGGER", "True")


@needs_triggerer_path
@pytest.mark.usefixtures("deployment")
def test_deployment_option() -> None:
    """The options count for deferrable tasks that don't say otherwise."""

    def sensor(**arguments: Any) -> tuple[bool, bool]:
        task = WhiteRabbitExecutionSensor(task_id="wait", execution_id="e", **arguments)
        return task.start_from_trigger, task.ends_in_triggerer

    assert sensor(deferrable=True) == (True, True)
    assert sensor() == (False, False)
    assert sensor(deferrable=True, start_from_trigger=False) == (False, True)
    assert sensor(deferrable=True, end_from_trigger=False) == (True, False)
    assert WhiteRabbitExecuteComponentOperator(task_id="run", module="X", deferrable=True).ends_in_triggerer


class Reshaping(WhiteRabbitExecutionSensor):
    """A user's own, which does something before and after."""

    def pre_execute(self, context: Any) -> None:
        """Do nothing."""

    def execute_complete(self, context: Any, event: Any = None, identity: str | None = None) -> Any:
        """Return something else than the output."""
        return [super().execute_complete(context, event, identity)]


@needs_triggerer_path
def test_code_of_ones_own() -> None:
    """What a subclass or a hook adds runs: a worker starts the task, ends it, or both."""
    there = {"task_id": "wait", "execution_id": "e", "start_from_trigger": True, "end_from_trigger": True}
    plain = WhiteRabbitExecutionSensor(**there)
    assert (list(triggerer_path.of_start(plain, "e")), list(triggerer_path.of_class(plain))) == ([], [])
    own = Reshaping(**there)
    assert list(triggerer_path.of_start(own, "e")) == ["Reshaping has a pre_execute of its own"]
    assert list(triggerer_path.of_class(own)) == ["Reshaping has an execute_complete of its own"]
    hooked = WhiteRabbitExecutionSensor(**there, post_execute=lambda context, result: None)
    assert list(triggerer_path.of_class(hooked)) == ["it has a post_execute hook"]
    assert hooked.start_trigger_args is not None
    assert hooked.start_trigger_args.trigger_kwargs["end_from_trigger"] is False


def test_mapped_sensor_starts_in_a_worker() -> None:
    """Airflow would start a mapped task with the class's arguments; there are none, so it does not."""
    with DAG("mapped", schedule=None):
        mapped = WhiteRabbitExecutionSensor.partial(task_id="wait", start_from_trigger=True).expand(
            execution_id=["a", "b"]
        )
    assert mapped.start_trigger_args is None


@needs_triggerer_path
def test_start_does_not_change_from_parse_to_parse() -> None:
    """What is serialized with the DAG holds no moment, which would make each parse a new version."""
    starts = [
        WhiteRabbitExecutionSensor(task_id="wait", execution_id="{{ x }}", start_from_trigger=True) for _ in range(2)
    ]
    assert starts[0].start_trigger_args == starts[1].start_trigger_args
    assert starts[0].start_trigger_args is not None
