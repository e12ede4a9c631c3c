"""DAGs that callbacks start: one run for each execution, and one run for several executions."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.compat import DAG, Asset, task
from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator

# The tests count only the DAG's runs, so its task needs no worker.
with DAG("e2e_each", schedule=assets.each(assets.module("BULK", "both")), max_active_runs=200):
    EmptyOperator(task_id="nothing")

with DAG("e2e_each_named", schedule=assets.each(assets.named("e2e name", "both")), max_active_runs=200):
    EmptyOperator(task_id="nothing")

rotated = assets.module("BULK", "both", whiterabbit_conn_id="rotated")
with DAG("e2e_rotated", schedule=assets.each(rotated), max_active_runs=200):
    EmptyOperator(task_id="nothing")

with DAG("e2e_together", schedule=[assets.module("BATCH")], max_active_runs=1):

    @task
    def ids(**context: Any) -> list[str]:
        """Return the ids of the executions that started this run."""
        return [execution.id for execution in assets.executions(context)]

    ids()

with DAG("e2e_true", schedule=assets.each(assets.module("TRUE")), max_active_runs=200):

    @task
    def found(**context: Any) -> list[list[str]]:
        """Return the executions that started this run, with the connections that read them."""
        return [[execution.id, execution.whiterabbit_conn_id] for execution in assets.executions(context)]

    found()

with DAG("e2e_forge", schedule=None):

    @task(outlets=[assets.module("TRUE")])
    def forge(**context: Any) -> None:
        """Emit an event like one of the receiver, with the run's configuration as its extra."""
        context["outlet_events"][assets.module("TRUE")].extra = context["dag_run"].conf

    forge()

with DAG("e2e_recover", schedule=None, max_active_runs=1):
    WhiteRabbitReplayCallbacksOperator(task_id="replay", submitted=Asset("whiterabbit_submitted"), retries=2)
