"""As many waits of each kind as the run's configuration has executions for."""

from __future__ import annotations

import os

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from benchmarks.floor import FloorSensor

COUNT = int(os.environ["LATENCY_COUNT"])
PATHS = {
    "full": {"start_from_trigger": True, "end_from_trigger": True},
    "end": {"end_from_trigger": True},
    "start": {"start_from_trigger": True},
    "deferrable": {"deferrable": True},
}

with DAG("latency", schedule=None, catchup=False, max_active_tasks=1000) as dag:
    for number in range(COUNT):
        FloorSensor(task_id=f"floor_{number}", port="{{ dag_run.conf['port'] }}", number=number)
        for path, arguments in PATHS.items():
            WhiteRabbitExecutionSensor(
                task_id=f"{path}_{number}",
                execution_id=f"{{{{ dag_run.conf['{path}'][{number}] }}}}",
                timeout=3600,
                **arguments,
            )
