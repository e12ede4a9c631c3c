"""The least that Airflow can do: a trigger that ends its task on a byte from a socket, without any work of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.common.compat.sdk import BaseSensorOperator
from airflow.triggers.base import BaseTrigger, StartTriggerArgs, TaskSuccessEvent, TriggerEvent


class FloorTrigger(BaseTrigger):
    """Ends its task when the server at this port says so.

    :param port: on this machine.
    :param number: which of the waits this is.
    """

    def __init__(self, port: int, number: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.port = port
        self.number = number

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the arguments to make this trigger again."""
        return "benchmarks.floor.FloorTrigger", {"port": self.port, "number": self.number}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for a byte."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.port))
        writer.write(f"{self.number}\n".encode())
        await reader.read(1)
        writer.close()
        yield TaskSuccessEvent()


class FloorSensor(BaseSensorOperator):
    """Starts in the triggerer with a `FloorTrigger`."""

    template_fields = ("port",)
    start_from_trigger = True

    def __init__(self, *, port: str, number: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.port = port
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="benchmarks.floor.FloorTrigger",
            trigger_kwargs={"port": port, "number": number},
            next_method="execute_complete",
        )
