"""The operator of many inputs, with a trigger that notes when it knows of each end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from airflow_provider_whiterabbit.triggers.executions import WhiteRabbitExecutionsTrigger

FILE = "MANY_KNOWN"
"""The environment variable with the name of the file to which the trigger adds a line for each end."""


class WatchedTrigger(WhiteRabbitExecutionsTrigger):
    """Waits for many executions to end, and notes when it knows of each end."""

    def _kept(self, end: Any) -> bool:
        with Path(os.environ[FILE]).open("a") as file:
            file.write(f"{end.id} {time.time()}\n")
        return super()._kept(end)


class WatchedComponentsOperator(WhiteRabbitExecuteComponentsOperator):
    """Executes a component for many inputs; its trigger notes when it knows of each end."""

    trigger_class = WatchedTrigger
