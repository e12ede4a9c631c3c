"""Two DAGs that execute the same component many times: as mapped tasks, and as one task."""

from __future__ import annotations

from typing import Any

from airflow_provider_whiterabbit.compat import DAG, task
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from benchmarks.many_trigger import WatchedComponentsOperator

OPTIONS: dict[str, Any] = {"task_id": "execute", "module": "WAIT", "deferrable": True, "timeout": 3600, "retries": 1}


@task
def inputs(count: str) -> list[dict[str, Any]]:
    """Return the inputs."""
    return [{"number": number} for number in range(int(count))]


with DAG("mapped", schedule=None, catchup=False, max_active_tasks=10_000):
    mapped = WhiteRabbitExecuteComponentOperator.partial(**OPTIONS)
    mapped.expand(input=inputs("{{ dag_run.conf['count'] }}"))

with DAG("one_task", schedule=None, catchup=False):
    WatchedComponentsOperator(**OPTIONS, inputs=inputs("{{ dag_run.conf['count'] }}"))
