"""One DAG for each connection of the benchmark of callbacks. Its task needs no worker."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.compat import DAG
from benchmarks.callback_senders import CONNECTIONS, MODULE

for connection in CONNECTIONS:
    asset = assets.module(MODULE, whiterabbit_conn_id=connection)
    with DAG(connection, schedule=assets.each(asset), catchup=False, max_active_runs=10_000):
        EmptyOperator(task_id="nothing")
