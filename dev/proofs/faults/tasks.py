"""Run a task that waits in one of five ways, in this process and over real sockets, and return how the task ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import environ
from typing import Any, Literal
from uuid import uuid4

from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import AirflowFailException, AirflowSensorTimeout, TaskDeferred
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitTimeoutError,
    WhiteRabbitUncertainSubmissionError,
)
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.harness.standins import FakeAirflow

Way = Literal[
    "sensor, poke",
    "sensor, deferrable",
    "operator, deferrable",
    "operator, worker",
    "sensor, deferrable, HTTP/2",
]
"""The last one waits in a trigger as well, but over HTTP/2, which workers do not use."""

MODULE = "PAY"

POLL_INTERVAL = 1.0
"""Seconds between two polls of a task."""

TIMING = Timing(silence=3, recheck_after=4)
"""Seconds, instead of 45 and 900, so that faults of streams take less time."""


@dataclass
class End:
    """How a task has ended.

    :param verdict: ``output``, ``error``, ``final``, ``uncertain`` or ``timeout``; a description for any other end.
    :param message: the error message.
    """

    verdict: str
    message: str = ""


def add_connection(connection: Mapping[str, Any]) -> str:
    """Add a connection to Airflow by an environment variable, and return the connection's id.

    The variable is not removed: other threads iterate over the environment, as urllib does to find proxies, and a
    removal would make them fail.
    """
    conn_id = f"faults_{uuid4().hex}"
    environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
    return conn_id


def run_task(way: Way, wr: Emulator, conn_id: str, output: Any, timeout: float) -> End:
    """Run a task that waits for an execution, which another thread ends.

    :param output: the value that the task has to return.
    :param timeout: the task's timeout in seconds.
    """
    arguments: dict[str, Any] = {
        "task_id": "task",
        "whiterabbit_conn_id": conn_id,
        "deferrable": "deferrable" in way,
        "timeout": timeout,
    }
    task: WhiteRabbitExecutionSensor | WhiteRabbitExecuteComponentOperator
    if way.startswith("sensor"):
        execution_id = wr.create_execution(MODULE, manual=True)
        task = WhiteRabbitExecutionSensor(execution_id=execution_id, poke_interval=POLL_INTERVAL, **arguments)
    else:
        wr.script(MODULE, manual=True)
        task = WhiteRabbitExecuteComponentOperator(module=MODULE, poll_interval=POLL_INTERVAL, **arguments)
    return _end_of(lambda: _execute(task), output)


def _execute(task: Any) -> Any:
    """Execute the task; if it defers, run its trigger and resume the task with the trigger's event."""
    context = FakeAirflow(timing=TIMING).context(task)
    try:
        return task.execute(context)
    except TaskDeferred as deferral:
        trigger: Any = deferral.trigger
        trigger.hook.timing = TIMING
        event = asyncio.run(_only_event(trigger))
        return task.execute_complete(context, event, **(deferral.kwargs or {}))


async def _only_event(trigger: Any) -> Any:
    (event,) = [event.payload async for event in trigger.run()]
    return json.loads(json.dumps(event))


def _end_of(execute: Callable[[], Any], output: Any) -> End:
    try:
        result = execute()
    except WhiteRabbitUncertainSubmissionError as error:
        return End("uncertain", str(error))
    except AirflowFailException as error:
        # An operator turns an uncertain submission into this exception, so that Airflow does not retry the task.
        return End("uncertain" if "It is not known" in str(error) else "final", str(error))
    except (AirflowSensorTimeout, WhiteRabbitTimeoutError) as error:
        return End("timeout", str(error))
    except WhiteRabbitError as error:
        return End("error", f"{type(error).__name__}: {error}")
    except Exception as error:
        return End(f"{type(error).__name__}: {error}")
    return End("output") if result == output else End(f"returned {result!r:.50}")
