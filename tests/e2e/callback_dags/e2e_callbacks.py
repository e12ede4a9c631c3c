"""DAGs that callbacks start: one run for each execution, and one run for several executions."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.compat import DAG, task

# The tests count only the DAG's runs, so its task needs no worker.
with DAG("e2e_each", schedule=assets.each(assets.module("BULK", "both")), max_active_runs=200):
    EmptyOperator(task_id="nothing")

with DAG("e2e_each_named", schedule=assets.each(assets.named("e2e name", "both")), max_active_runs=200):
    EmptyOperator(task_id="nothing")

with DAG("e2e_together", schedule=[assets.module("BATCH")], max_active_runs=1):

    @task
    def ids(**context: Any) -> list[str]:
        """Return the ids of the executions that started this run."""
        return [execution.id for execution in assets.executions(context)]

    ids()
