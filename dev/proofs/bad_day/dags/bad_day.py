"""A DAG with waits of every kind; the run's configuration says for what, the environment how many of each."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

SIZES: dict[str, int] = json.loads(os.environ["BAD_DAY_SIZES"])
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=1)}
PAUSE = 10
"""Seconds, at most, from one attempt to reach White Rabbit to the next."""


def configured(way: str) -> list[str]:
    """Return the templates of the ids that the run's configuration has for a way."""
    return [f"{{{{ dag_run.conf['{way}'][{number}] }}}}" for number in range(SIZES[way])]


def inputs(way: str) -> list[dict[str, str]]:
    """Return an input for each execution of a way."""
    return [{"wait": f"{way} {number}"} for number in range(SIZES[way])]


with DAG("bad_day", schedule=None, catchup=False, max_active_runs=100, max_active_tasks=1000, default_args=RETRIES):

    @task
    def collect(*outputs: Any) -> list[Any]:
        """Return the outputs, also those of mapped tasks, as the next task gets them."""
        return [item for output in outputs for item in ([output] if isinstance(output, dict) else output)]

    triggerer = [
        WhiteRabbitExecutionSensor(
            task_id=f"triggerer_{number}",
            execution_id=execution_id,
            start_from_trigger=True,
            end_from_trigger=True,
            poke_interval=PAUSE,
        )
        for number, execution_id in enumerate(configured("triggerer"))
    ]
    worker = WhiteRabbitExecutionSensor.partial(task_id="worker", deferrable=True, poke_interval=PAUSE)
    component = WhiteRabbitExecuteComponentOperator.partial(
        task_id="component", module="{{ dag_run.conf['module'] }}", deferrable=True, poll_interval=PAUSE
    )
    ending = WhiteRabbitExecuteComponentOperator.partial(
        task_id="ending", module="{{ dag_run.conf['module'] }}", end_from_trigger=True, poll_interval=PAUSE
    )
    collect(
        *(sensor.output for sensor in triggerer),
        worker.expand(execution_id=configured("worker")).output,
        component.expand(input=inputs("component")).output,
        ending.expand(input=inputs("ending")).output,
    )
