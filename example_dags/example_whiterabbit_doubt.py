"""Ask a person when it is not known whether a payment arrived at White Rabbit (Airflow 3.3 or newer).

The connection `whiterabbit_default` holds the API key and the API secret. `make demo-doubt` runs this DAG against the
emulator, and loses White Rabbit's answer on the way.
"""

from __future__ import annotations

from datetime import timedelta

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag  # type: ignore[attr-defined,no-redef]

from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator


@dag(schedule=None, catchup=False, tags=["whiterabbit"], params={"transaction": "0200…"})
def whiterabbit_ask():
    """Broadcast a transaction once; if its submission may have arrived, a person decides under *Required Actions*."""
    WhiteRabbitExecuteComponentOperator(
        task_id="broadcast",
        module="BROADCAST_BITCOIN_TRANSACTION",
        input={"signedTransaction": "{{ params.transaction }}"},
        config={"network": "testnet"},
        # The question occupies no worker. Without this parameter, the task fails, and its message says what to do.
        on_doubt="ask",
        deferrable=True,
        retries=2,
        retry_delay=timedelta(seconds=10),
    )


whiterabbit_ask()
