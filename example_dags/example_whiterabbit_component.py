"""Execute components of White Rabbit and use their outputs.

The connection `whiterabbit_default` holds the API key and the API secret. Whatever dies meanwhile, a component is
submitted once: a retry goes on waiting for what an earlier try submitted (Airflow 3.3 or newer). The emulator has to be
told what they put out: `emulator.script("DEMO_TOKEN_SWAP", output={"receipt": {"hash": "0x1"}})`, and so for the other.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

# A retry after a lost worker is harmless, and what makes the task end well.
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=10)}


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES)
def whiterabbit_component():
    """Swap tokens with one component, and wait for the transaction with another."""

    @task
    def report(receipt: dict[str, Any]) -> str:
        # The output is the JSON value that White Rabbit gave: an object stays an object.
        return f"in block {receipt['blockNumber']}"

    swap = WhiteRabbitExecuteComponentOperator(
        task_id="swap",
        module="DEMO_TOKEN_SWAP",
        # Integers that JavaScript can't hold are strings.
        input={"amount": "1000000000000000000", "side": "BUY", "route": ["pool-3", "pool-7"]},
        config={"slippage": 0.5},
        # Refuses what the component catalogue doesn't know, before anything is submitted.
        validate=True,
        # Ends within seconds: the submitting call waits for it, and no other call is needed.
        inline_wait=10,
    )
    wait = WhiteRabbitExecuteComponentOperator(
        task_id="wait",
        module="WAIT_FOR_EVM_TRANSACTION",
        # Templates may use the output of another component.
        input={"transactionHash": "{{ ti.xcom_pull(task_ids='swap')['receipt']['hash'] }}", "chainId": 1},
        config={"confirmations": 12},
        # Takes its time: the triggerer follows the event stream, and no worker is held.
        deferrable=True,
        timeout=timedelta(hours=1),
    )
    swap >> wait
    report(wait.output)


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES)
def whiterabbit_fan_out():
    """Execute a component for each element of a list, all at the same time."""

    @task
    def amounts() -> list[dict[str, Any]]:
        return [{"amount": str(10**number), "side": "SELL", "route": []} for number in range(3)]

    @task
    def hashes(outputs: list[dict[str, Any]]) -> list[str]:
        # In the order of the inputs, whichever execution ended first.
        return [output["receipt"]["hash"] for output in outputs]

    # Those that wait are deferred: they take no slots, and one triggerer follows them all.
    swap = WhiteRabbitExecuteComponentOperator.partial(task_id="swap", module="DEMO_TOKEN_SWAP", deferrable=True)
    hashes(swap.expand(input=amounts()).output)


whiterabbit_component()
whiterabbit_fan_out()
