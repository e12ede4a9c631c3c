"""DAGs of waits that start and end in the triggerer: Airflow's floor without and with an output, and ours."""

from __future__ import annotations

import os

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from benchmarks import server
from benchmarks.floor import FloorSensor

SIZE = 2  # what `server.World.record` makes the output of a run of, too
TASKS = int(os.environ["SYSTEM_TASKS"])
PORT = "{{ dag_run.conf['port'] }}"


def number(task: int) -> str:
    """Return the template of a wait's number among all."""
    return f"{{{{ dag_run.conf['first'] + {task} }}}}"


for name, output in {"floor": None, "storing": server.output_of(SIZE)}.items():
    with DAG(name, schedule=None, catchup=False, max_active_tasks=10_000, max_active_runs=10_000):
        for task in range(TASKS):
            FloorSensor(task_id=f"wait_{task}", port=PORT, number=number(task), stored=output)

with DAG("ours", schedule=None, catchup=False, max_active_tasks=10_000, max_active_runs=10_000):
    for task in range(TASKS):
        WhiteRabbitExecutionSensor(
            task_id=f"wait_{task}",
            execution_id=f"run-{number(task)}",
            timeout=3600,
            start_from_trigger=True,
            end_from_trigger=True,
        )
