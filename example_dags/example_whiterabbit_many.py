"""Execute a component for each of many inputs, in one task.

The connection `whiterabbit_default` holds the API key and the API secret. The Airflow variable `secret_rpc_url` holds
the address of an Ethereum node. The task submits each input at most once. A retry takes what an earlier try has
submitted, and submits the rest (Airflow 3.3 or newer). This DAG also runs against the emulator, which makes up the
outputs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task  # type: ignore[attr-defined,no-redef]

from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from airflow_provider_whiterabbit.secrets import secret

# The inputs come from another task. So the DAG says which secret they may name.
RPC_URL = secret(variable="secret_rpc_url")
CONTRACT = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
ACCOUNTS = ["0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D"]


@dag(schedule=None, catchup=False, tags=["whiterabbit"], params={"accounts": ACCOUNTS})
def whiterabbit_many():
    """Read the balances of accounts, wait for all of them with one trigger, and report what could be read."""

    @task
    def inputs(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        accounts = (params or {})["accounts"]
        return [{"jsonRpcUrl": RPC_URL, "tokenAddress": CONTRACT, "account": account} for account in accounts]

    @task
    def report(results: list[dict[str, Any]]) -> str:
        balances = [int(result["output"]["balance"]) for result in results if result["status"] == "COMPLETED"]
        return f"{len(balances)} of {len(results)} accounts have {sum(balances)}"

    read = WhiteRabbitExecuteComponentsOperator(
        task_id="read",
        module="GET_EVM_ACCOUNT_BALANCE",
        inputs=inputs(),
        allowed_secrets=[RPC_URL],
        deferrable=True,
        timeout=timedelta(hours=1),
        on_failed_execution="return",
        retries=2,
        retry_delay=timedelta(seconds=10),
    )
    report(read.output)


whiterabbit_many()
