"""A DAG with waits of every way: the run's configuration has their execution ids, the environment their numbers."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

from airflow_provider_whiterabbit.compat import DAG, task
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

SIZES: dict[str, int] = json.loads(os.environ["BAD_DAY_SIZES"])
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=1)}
MAX_PAUSE = 10
"""Longest pause in seconds between two attempts to reach White Rabbit."""


def execution_ids(way: str) -> list[str]:
    """Return templates of the execution ids that the run's configuration has for a way."""
    return [f"{{{{ dag_run.conf['{way}'][{number}] }}}}" for number in range(SIZES[way])]


def inputs(way: str) -> list[dict[str, str]]:
    """Return the inputs of the executions that the operators of a way submit."""
    return [{"wait": f"{way} {number}"} for number in range(SIZES[way])]


with DAG("bad_day", schedule=None, catchup=False, max_active_runs=100, max_active_tasks=1000, default_args=RETRIES):

    @task
    def collect(*outputs: Any) -> list[Any]:
        """Return the outputs of all waits, as the next task receives them."""
        return [item for output in outputs for item in ([output] if isinstance(output, dict) else output)]

    triggerer = [
        WhiteRabbitExecutionSensor(
            task_id=f"triggerer_{number}",
            execution_id=execution_id,
            start_from_trigger=True,
            end_from_trigger=True,
            poke_interval=MAX_PAUSE,
        )
        for number, execution_id in enumerate(execution_ids("triggerer"))
    ]
    worker = WhiteRabbitExecutionSensor.partial(task_id="worker", deferrable=True, poke_interval=MAX_PAUSE)
    component = WhiteRabbitExecuteComponentOperator.partial(
        task_id="component", module="{{ dag_run.conf['module'] }}", deferrable=True, poll_interval=MAX_PAUSE
    )
    ending = WhiteRabbitExecuteComponentOperator.partial(
        task_id="ending", module="{{ dag_run.conf['module'] }}", end_from_trigger=True, poll_interval=MAX_PAUSE
    )
    collect(
        *(sensor.output for sensor in triggerer),
        worker.expand(execution_id=execution_ids("worker")).output,
        component.expand(input=inputs("component")).output,
        ending.expand(input=inputs("ending")).output,
    )
