"""The operator of many inputs, which notes when it, or its trigger, knows of each end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from airflow_provider_whiterabbit.triggers.executions import WhiteRabbitExecutionsTrigger
from airflow_provider_whiterabbit.waiting_for_many import Ended

FILE = "MANY_KNOWN"
"""The environment variable with the name of the file to which the task and its trigger add a line for each end."""


def note(execution_id: str) -> None:
    """Note that the end of an execution is known now."""
    with Path(os.environ[FILE]).open("a") as file:
        file.write(f"{execution_id} {time.time()}\n")


class WatchedTrigger(WhiteRabbitExecutionsTrigger):
    """Waits for many executions to end, and notes when it knows of each end."""

    def _kept(self, end: Any) -> bool:
        note(end.id)
        return super()._kept(end)


class WatchedComponentsOperator(WhiteRabbitExecuteComponentsOperator):
    """Executes a component for many inputs, and notes when it knows of each end."""

    trigger_class = WatchedTrigger

    def _kept(self, record: Any) -> Ended:
        note(record.id)
        return super()._kept(record)
