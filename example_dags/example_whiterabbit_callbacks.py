"""Submit components without waiting, and start DAGs from White Rabbit's callbacks.

The connection `whiterabbit_default` needs a `callback_secret`. The Airflow variable `secret_rpc_url` holds the address
of an Ethereum node. Airflow's configuration must name the connections whose callbacks Airflow accepts, and Airflow's
public address:

    [whiterabbit]
    callback_connections = whiterabbit_default
    callback_base_url = https://airflow.example.org
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from airflow.sdk import Asset, dag, task
except ImportError:  # Airflow 2.11
    from airflow.datasets import Dataset as Asset  # type: ignore[import-not-found,no-redef]
    from airflow.decorators import dag, task  # type: ignore[attr-defined,no-redef]

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.secrets import secret

MODULE = "WAIT_FOR_EVM_TRANSACTION"
# The first transaction of Ethereum.
TRANSACTION = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"

START = datetime(2026, 1, 1, tzinfo=UTC)  # Airflow 2 schedules no DAG without a start date

# The events of this asset hold the ids of submitted executions, for the recovery of lost callbacks.
submitted = Asset("whiterabbit_submitted")


@dag(schedule=None, catchup=False, tags=["whiterabbit"], params={"hash": TRANSACTION})
def whiterabbit_submit_and_go():
    """Submit a component and end without waiting for its execution."""
    submit = WhiteRabbitExecuteComponentOperator(
        task_id="submit",
        module=MODULE,
        input={"jsonRpcUrl": secret(variable="secret_rpc_url"), "transactionHash": "{{ params.hash }}"},
        callback=True,
        wait_for_completion=False,
        retries=2,
        retry_delay=timedelta(seconds=10),
    )

    @task(outlets=[submitted])
    def remember(execution_id: str, **context: Any) -> None:
        context["outlet_events"][submitted].extra = {"execution_id": execution_id}

    remember(submit.output)


@dag(
    schedule=assets.each(assets.module(MODULE, "both")),
    catchup=False,
    tags=["whiterabbit"],
    start_date=START,
)
def whiterabbit_confirmed():
    """Start one DAG run for each execution of the component that has ended (Airflow 3.2 or newer)."""

    @task
    def settle(**context: Any) -> Any:
        wait = assets.execution(context)
        if wait.status == "FAILED":
            raise RuntimeError(f"the execution {wait.id} failed: {wait.read().error}")
        # The event holds only the id and the status; `read` gets the output from White Rabbit.
        return wait.read().output

    settle()


@dag(schedule="@hourly", catchup=False, max_active_runs=1, tags=["whiterabbit"], start_date=START)
def whiterabbit_recover_callbacks():
    """Ask White Rabbit to deliver lost callbacks again, and fail if that does not help."""
    WhiteRabbitReplayCallbacksOperator(task_id="replay", submitted=submitted, retries=2)


whiterabbit_submit_and_go()
whiterabbit_confirmed()
whiterabbit_recover_callbacks()
