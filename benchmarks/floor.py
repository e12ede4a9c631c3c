"""The least work for a wait in Airflow: a trigger that ends its task as soon as a socket delivers one byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, StartTriggerArgs, TaskSuccessEvent, TriggerEvent

from airflow_provider_whiterabbit.compat import XCOM_RETURN_KEY, BaseSensorOperator


class FloorTrigger(BaseTrigger):
    """A trigger that ends its task when a `ByteServer` sends one byte.

    :param port: port of the server on this machine.
    :param number: number by which the server knows this trigger.
    :param stored: value that the trigger first stores as the task's output in XCom; None stores nothing.
    """

    def __init__(self, port: int, number: int, stored: Any = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.port = port
        self.number = number
        self.stored = stored

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments from which Airflow recreates this trigger."""
        kwargs = {"port": self.port, "number": self.number, "stored": self.stored}
        return "benchmarks.floor.FloorTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for one byte, then end the task."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.port))
        writer.write(f"{self.number}\n".encode())
        await reader.read(1)
        writer.close()
        if self.stored is not None:
            await self._store_output(self.task_instance)
        yield TaskSuccessEvent()

    async def _store_output(self, ti: Any) -> None:
        from airflow_provider_whiterabbit.compat import XCom

        await XCom.aset(XCOM_RETURN_KEY, self.stored, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id)


class FloorSensor(BaseSensorOperator):
    """A sensor that starts and ends in the triggerer with a `FloorTrigger`, whose parameters it takes."""

    template_fields = ("port", "number")
    start_from_trigger = True

    def __init__(self, *, port: str, number: int | str, stored: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.port = port
        self.number = number
        self.stored = stored
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="benchmarks.floor.FloorTrigger",
            trigger_kwargs={"port": port, "number": number, "stored": stored},
            next_method="execute_complete",
        )
