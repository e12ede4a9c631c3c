"""A DAG whose task asks a person about a doubt; the run's configuration names the module that the task submits."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

with DAG("e2e_ask", schedule=None, catchup=False):
    WhiteRabbitExecuteComponentOperator(
        task_id="pay",
        whiterabbit_conn_id="asked",
        pool="asking",
        module="{{ dag_run.conf['module'] }}",
        on_doubt="ask",
        deferrable=True,
        retries=1,
        retry_delay=timedelta(seconds=1),
    )
