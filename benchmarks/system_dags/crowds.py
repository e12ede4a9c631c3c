"""Three DAGs of waits that start and end in the triggerer: the floor without and with an output, and this provider."""

from __future__ import annotations

import os

from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from benchmarks import world
from benchmarks.floor import FloorSensor

SIZE = 2  # bytes; `world.World.record` uses the same size for the output of a `run-` execution
TASKS = int(os.environ["SYSTEM_TASKS"])
PORT = "{{ dag_run.conf['port'] }}"


def wait_number(task: int) -> str:
    """Return the template that renders to the number of a wait among the waits of all DAG runs."""
    return f"{{{{ dag_run.conf['first'] + {task} }}}}"


for name, output in {"floor": None, "storing": world.output_of(SIZE)}.items():
    with DAG(name, schedule=None, catchup=False, max_active_tasks=10_000, max_active_runs=10_000):
        for task in range(TASKS):
            FloorSensor(task_id=f"wait_{task}", port=PORT, number=wait_number(task), stored=output)

with DAG("ours", schedule=None, catchup=False, max_active_tasks=10_000, max_active_runs=10_000):
    for task in range(TASKS):
        WhiteRabbitExecutionSensor(
            task_id=f"wait_{task}",
            execution_id=f"run-{wait_number(task)}",
            timeout=3600,
            start_from_trigger=True,
            end_from_trigger=True,
        )
