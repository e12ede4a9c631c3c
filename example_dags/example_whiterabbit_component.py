"""Execute components of White Rabbit and use their outputs.

The connection `whiterabbit_default` holds the API key and the API secret. Each task submits its component at most once.
A retry waits for the execution that an earlier try has submitted (Airflow 3.3 or newer). To run these DAGs against the
emulator, script the output of each component, such as
`emulator.script("DEMO_TOKEN_SWAP", output={"receipt": {"hash": "0x1"}})`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task  # type: ignore[attr-defined,no-redef]

from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

# If a worker is lost, the retry waits for the same execution and does not submit again.
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=10)}


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES)
def whiterabbit_component():
    """Swap tokens with one component, and wait for the transaction with another component."""

    @task
    def report(receipt: dict[str, Any]) -> str:
        # The output is the JSON value that White Rabbit returned; a JSON object is a dict.
        return f"in block {receipt['blockNumber']}"

    swap = WhiteRabbitExecuteComponentOperator(
        task_id="swap",
        module="DEMO_TOKEN_SWAP",
        # Pass integers above 2**53 as strings, because JavaScript cannot represent them.
        input={"amount": "1000000000000000000", "side": "BUY", "route": ["pool-3", "pool-7"]},
        config={"slippage": 0.5},
        # Check the inputs against the component catalogue before the submission.
        validate=True,
        # Let the submitting request wait up to 10 seconds for the output, so that no other request is needed.
        inline_wait=10,
    )
    wait = WhiteRabbitExecuteComponentOperator(
        task_id="wait",
        module="WAIT_FOR_EVM_TRANSACTION",
        # A template can use the output of another component.
        input={"transactionHash": "{{ ti.xcom_pull(task_ids='swap')['receipt']['hash'] }}", "chainId": 1},
        config={"confirmations": 12},
        # Wait in the triggerer, which follows the event stream, instead of in a worker.
        deferrable=True,
        timeout=timedelta(hours=1),
    )
    swap >> wait
    report(wait.output)


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES)
def whiterabbit_fan_out():
    """Execute a component for all elements of a list concurrently."""

    @task
    def amounts() -> list[dict[str, Any]]:
        return [{"amount": str(10**number), "side": "SELL", "route": []} for number in range(3)]

    @task
    def hashes(outputs: list[dict[str, Any]]) -> list[str]:
        # The outputs have the order of the inputs, regardless of which execution ended first.
        return [output["receipt"]["hash"] for output in outputs]

    # Deferred tasks occupy no worker slots, and one triggerer follows all their executions.
    swap = WhiteRabbitExecuteComponentOperator.partial(task_id="swap", module="DEMO_TOKEN_SWAP", deferrable=True)
    hashes(swap.expand(input=amounts()).output)


whiterabbit_component()
whiterabbit_fan_out()
