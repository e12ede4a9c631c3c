"""One sensor per way to wait; the execution's id comes with the run's configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor


@task
def describe(output: Any) -> list[str]:
    return [type(output).__name__, repr(output)]


def sensor_dag(dag_id: str, **sensor: Any) -> DAG:
    retries = {"retries": 2, "retry_delay": timedelta(seconds=1)}
    with DAG(dag_id, schedule=None, catchup=False, default_args=retries) as dag:
        wait = WhiteRabbitExecutionSensor(
            task_id="wait", execution_id="{{ dag_run.conf['execution_id'] }}", poke_interval=1, **sensor
        )
        describe(wait.output)
    return dag


deferrable = sensor_dag("e2e_deferrable", deferrable=True)
poke = sensor_dag("e2e_poke", deferrable=False)
soft_fail = sensor_dag("e2e_soft_fail", deferrable=True, soft_fail=True, timeout=5)
impatient = sensor_dag("e2e_impatient", deferrable=True, timeout=5)

with DAG("e2e_mapped", schedule=None, catchup=False) as mapped:

    @task
    def ids(dag_run: Any = None) -> list[str]:
        return dag_run.conf["execution_ids"]

    WhiteRabbitExecutionSensor.partial(task_id="wait", deferrable=True).expand(execution_id=ids())
