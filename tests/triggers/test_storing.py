"""What a trigger that ends its task asks of the triggerer's other process."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from tests.versions import needs_triggerer_path

pytestmark = needs_triggerer_path

LINK = "https://dashboard.example/{execution_id}"


class Supervisor:
    """Stores XComs, but not before so many have been asked for.

    :param together: how many.
    :param refused: key of the one that it can't store.
    """

    def __init__(self, together: int, refused: str | None = None) -> None:
        self.stored: dict[str, Any] = {}
        self._all = asyncio.Barrier(together)
        self._refused = refused

    async def asend(self, message: Any) -> None:
        """Answer when all have asked."""
        if type(message).__name__ != "SetXCom":
            return  # a secret to mask
        await self._all.wait()
        if message.key == self._refused:
            raise RuntimeError("no")
        self.stored[message.key] = message.value


@pytest.fixture
def links(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the connection say how links look."""
    connection = json.loads(whiterabbit_emulator.environ["AIRFLOW_CONN_WHITERABBIT_DEFAULT"])
    connection["extra"]["execution_url"] = LINK
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))


async def end(execution_id: str, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, **ti: Any) -> Any:
    """Run a trigger that ends its task; return its event."""
    from airflow.sdk.execution_time import task_runner

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    trigger = WhiteRabbitExecutionTrigger(execution_id, end_from_trigger=True)
    ids = {"dag_id": "d", "task_id": "wait", "run_id": "r", "map_index": None}
    trigger.task_instance = SimpleNamespace(**ids, **ti)  # type: ignore[assignment]
    async with asyncio.timeout(20):
        (event,) = [event async for event in trigger.run()]
    return event


@pytest.mark.usefixtures("links")
async def test_all_at_once(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Link, credits and output of a task that started here are sent together: none waits for another's answer."""
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1}, usage=2.5)
    supervisor = Supervisor(together=3)
    with DAG("d", schedule=None):
        sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, start_from_trigger=True)
    event = await end(execution_id, supervisor, monkeypatch, task=sensor)
    assert type(event).__name__ == "TaskSuccessEvent"
    link = LINK.format(execution_id=execution_id)
    assert supervisor.stored == {"whiterabbit_link": link, "usage": 2.5, "return_value": {"a": 1}}


@pytest.mark.usefixtures("links")
async def test_link_of_a_worker(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that deferred the task has stored the link already."""
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1}, usage=2.5)
    supervisor = Supervisor(together=2)
    await end(execution_id, supervisor, monkeypatch)
    assert supervisor.stored == {"usage": 2.5, "return_value": {"a": 1}}


@pytest.mark.parametrize("refused", ["usage", "return_value"])
async def test_one_that_is_not_stored(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """Where one of them can't be stored, a worker is to end the task, which stores all of them again."""
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1}, usage=2.5)
    event = await end(execution_id, Supervisor(together=2, refused=refused), monkeypatch)
    assert event.payload == {"execution_id": execution_id, "status": "COMPLETED", "message": None}
