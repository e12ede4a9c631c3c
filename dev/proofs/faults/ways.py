"""The four ways in which a task waits, run in this process over real sockets, and what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import environ
from typing import Any, Literal
from uuid import uuid4

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitTimeoutError,
    WhiteRabbitUncertainSubmissionError,
)
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

Way = Literal["sensor, poke", "sensor, deferrable", "operator, deferrable", "operator, worker"]
MODULE = "PAY"

POLL_INTERVAL = 1.0
"""Seconds."""


@dataclass
class End:
    """How a task ended.

    :param verdict: ``output``, ``error``, ``uncertain``, ``timeout``, or in words what it should never be.
    :param message: of the error.
    """

    verdict: str
    message: str = ""


@dataclass
class _TaskInstance:
    """As much of Airflow's as the tasks look at."""

    try_number: int = 1
    max_tries: int = 0
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    dag_id: str = "faults"
    run_id: str = "manual"
    task_id: str = "task"
    map_index: int = -1

    def xcom_push(self, key: str, value: Any) -> None:
        """Take an XCom, as it would be stored."""
        json.dumps({key: value})


class _Store(dict[str, Any]):
    """A task state store, as Airflow 3.3 has one."""

    def set(self, key: str, value: Any, **_: Any) -> None:
        """Keep a value."""
        self[key] = value

    def delete(self, key: str) -> None:
        """Forget a value."""
        self.pop(key, None)


def connect(connection: Mapping[str, Any]) -> str:
    """Give Airflow a connection, and return its id.

    It stays: a variable that goes away breaks whoever goes through the environment in another thread, as urllib does
    in search of proxies.
    """
    conn_id = f"faults_{uuid4().hex}"
    environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
    return conn_id


def run(way: Way, wr: Emulator, conn_id: str, output: Any, timeout: float) -> End:
    """Let a task wait for an execution that somebody else ends.

    :param output: what it is to return.
    :param timeout: of the task, in seconds.
    """
    arguments: dict[str, Any] = {
        "task_id": "task",
        "whiterabbit_conn_id": conn_id,
        "deferrable": way.endswith("deferrable"),
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
    context = {"ti": _TaskInstance(), "task": task, "task_state_store": _Store()}
    try:
        return task.execute(context)
    except TaskDeferred as deferral:
        event = asyncio.run(_only_event(deferral.trigger))
        return task.execute_complete(context, event, **(deferral.kwargs or {}))


async def _only_event(trigger: Any) -> Any:
    (event,) = [event.payload async for event in trigger.run()]
    return json.loads(json.dumps(event))


def _end_of(execute: Callable[[], Any], output: Any) -> End:
    try:
        returned = execute()
    except WhiteRabbitUncertainSubmissionError as error:
        return End("uncertain", str(error))
    except AirflowFailException as error:
        # What an operator makes of an uncertain submission: Airflow must not try it again.
        return End("uncertain" if "It is not known" in str(error) else f"failed: {error}", str(error))
    except (AirflowSensorTimeout, WhiteRabbitTimeoutError) as error:
        return End("timeout", str(error))
    except WhiteRabbitError as error:
        return End("error", f"{type(error).__name__}: {error}")
    except Exception as error:
        return End(f"{type(error).__name__}: {error}")
    return End("output") if returned == output else End(f"returned {returned!r:.50}")
