"""Two DAGs of many waits that start and end in the triggerer: Airflow's floor, and ours."""

from __future__ import annotations

import os

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from benchmarks.floor import FloorSensor

COUNT = int(os.environ["SYSTEM_COUNT"])

with DAG("floor", schedule=None, catchup=False, max_active_tasks=10_000):
    for number in range(COUNT):
        FloorSensor(task_id=f"wait_{number}", port="{{ dag_run.conf['port'] }}", number=number)

with DAG("streaming", schedule=None, catchup=False, max_active_tasks=10_000):
    for number in range(COUNT):
        WhiteRabbitExecutionSensor(
            task_id=f"wait_{number}",
            execution_id=f"{{{{ dag_run.conf['ids'][{number}] }}}}",
            start_from_trigger=True,
            end_from_trigger=True,
        )
