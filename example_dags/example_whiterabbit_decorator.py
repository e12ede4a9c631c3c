"""Compute the inputs of components with Python functions.

The connection `whiterabbit_default` holds the API key and the API secret. The Airflow variable `secret_rpc_url` holds
the address of an Ethereum node. Each task submits its component at most once. A retry calls the function again, and
then waits for the execution that an earlier try has submitted (Airflow 3.3 or newer). So each function returns the same
in each try. This DAG also runs against the emulator, which makes up the outputs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task  # type: ignore[attr-defined,no-redef]

from airflow_provider_whiterabbit.secrets import secret

RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=10)}
# Airflow does not store what a function returns. The name keeps the address out of its arguments and of errors, too.
RPC_URL = secret(variable="secret_rpc_url")
CONTRACT = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
ACCOUNTS = ["0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D"]


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES, params={"accounts": ACCOUNTS})
def whiterabbit_decorator():
    """Read the balances of accounts concurrently, and report their sum if there is one."""

    @task
    def accounts(params: dict[str, Any] | None = None) -> list[str]:
        return (params or {})["accounts"]

    # The function may name this secret; a name that came with its arguments would be refused.
    @task.whiterabbit(module="GET_EVM_ACCOUNT_BALANCE", allowed_secrets=[RPC_URL], deferrable=True)
    def balance(account: str) -> dict[str, Any]:
        return {"jsonRpcUrl": RPC_URL, "tokenAddress": CONTRACT, "account": account}

    @task.branch
    def choose(balances: list[dict[str, str]]) -> str:
        return "report" if any(int(output["balance"]) for output in balances) else "warn"

    # A function may return the config, too. It gets the parts of Airflow's context that it asks for.
    @task.whiterabbit(module="API_CALL", inline_wait=10)
    def report(balances: list[dict[str, str]], run_id: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        total = sum(int(output["balance"]) for output in balances)
        config = {"apiUrl": "https://reports.example.org/balances", "method": "POST"}
        return {"headers": {"X-Run": run_id, "X-Total": str(total)}}, config

    # The same function with another task id, another module or other options.
    warn = report.override(task_id="warn", inline_wait=0, deferrable=True)

    balances = balance.expand(account=accounts())
    choose(balances) >> [report(balances), warn(balances)]


whiterabbit_decorator()
