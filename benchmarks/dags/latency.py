"""Two DAGs for the latency benchmark: one with the ways that follow an event, one with the ways that poll."""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.http.sensors.http import HttpSensor

from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from benchmarks.floor import FloorSensor

COUNT = int(os.environ["LATENCY_COUNT"])
"""Number of waits of each way; the run's configuration holds the ids of their executions."""

FAST: dict[str, Any] = {
    "full": {"start_from_trigger": True, "end_from_trigger": True},
    "end": {"end_from_trigger": True},
    "start": {"start_from_trigger": True},
    "deferrable": {"deferrable": True},
}
SLOW: dict[str, Any] = {"poke": {}, "reschedule": {"mode": "reschedule"}}
HTTP: dict[str, Any] = {"http": {}, "http_deferrable": {"deferrable": True}}


def execution_id(way: str, number: int) -> str:
    """Return the template that renders to the id of an execution."""
    return f"{{{{ dag_run.conf['{way}'][{number}] }}}}"


def add_sensors(ways: dict[str, Any], number: int) -> None:
    """Add one sensor of each way to the current DAG."""
    for way, arguments in ways.items():
        WhiteRabbitExecutionSensor(
            task_id=f"{way}_{number}", execution_id=execution_id(way, number), timeout=3600, **arguments
        )


with DAG("latency_fast", schedule=None, catchup=False, max_active_tasks=1000):
    for number in range(COUNT):
        FloorSensor(task_id=f"floor_{number}", port="{{ dag_run.conf['port'] }}", number=number)
        add_sensors(FAST, number)

with DAG("latency_slow", schedule=None, catchup=False, max_active_tasks=1000):
    for number in range(COUNT):
        add_sensors(SLOW, number)
        for way, arguments in HTTP.items():
            endpoint = f"/poll/{execution_id(way, number)}"
            HttpSensor(task_id=f"{way}_{number}", endpoint=endpoint, timeout=3600, **arguments)
