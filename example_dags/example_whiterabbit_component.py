"""Execute components of White Rabbit and use their outputs.

The connection `whiterabbit_default` holds the API key and the API secret. The Airflow variable `secret_rpc_url` holds
the address of an Ethereum node. Each task submits its component at most once. A retry waits for the execution that an
earlier try has submitted (Airflow 3.3 or newer). These DAGs also run against the emulator, which makes up the outputs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task  # type: ignore[attr-defined,no-redef]

from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.secrets import secret

# If a worker is lost, the retry waits for the same execution and does not submit again.
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=10)}
# The address of a node holds an access key, so the DAG names the variable; Airflow stores the name, not the address.
RPC_URL = secret(variable="secret_rpc_url")
# The first transaction of Ethereum, and a token contract.
TRANSACTION = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"
CONTRACT = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
ABI = [
    {
        "type": "function",
        "name": "totalSupply",
        "stateMutability": "view",
        "inputs": [],
        "outputs": [{"name": "", "type": "uint256"}],
    }
]


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES, params={"hash": TRANSACTION})
def whiterabbit_component():
    """Wait for a transaction with one component, and then read a contract with two other components."""

    @task
    def report(output: dict[str, Any]) -> str:
        # The output is the JSON value that White Rabbit returned; a JSON object is a dict.
        return f"{output['0']} tokens"

    wait = WhiteRabbitExecuteComponentOperator(
        task_id="wait",
        module="WAIT_FOR_EVM_TRANSACTION",
        input={"jsonRpcUrl": RPC_URL, "transactionHash": "{{ params.hash }}"},
        # Wait in the triggerer, which follows the event stream, instead of in a worker.
        deferrable=True,
        timeout=timedelta(hours=1),
    )
    read = WhiteRabbitExecuteComponentOperator(
        task_id="read",
        module="READ_EVM_CONTRACT",
        input={"jsonRpcUrl": RPC_URL, "contractAddress": CONTRACT, "calldata": "0x18160ddd"},
        # Check the inputs against the component catalogue before the submission.
        validate=True,
        # Let the submitting request wait up to 10 seconds for the output, so that no other request is needed.
        inline_wait=10,
    )
    decode = WhiteRabbitExecuteComponentOperator(
        task_id="decode",
        module="DECODE_EVM_FUNCTION_RESULT",
        # A template can use the output of another component.
        input={"abi": ABI, "encodedResult": "{{ ti.xcom_pull(task_ids='read')['result'] }}"},
        config={"functionName": "totalSupply"},
        inline_wait=10,
    )
    wait >> read >> decode
    report(decode.output)


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES)
def whiterabbit_fan_out():
    """Execute a component for all elements of a list concurrently."""

    @task
    def results() -> list[dict[str, Any]]:
        return [{"abi": ABI, "encodedResult": f"0x{10**number:064x}"} for number in range(3)]

    @task
    def numbers(outputs: list[dict[str, Any]]) -> list[Any]:
        # The outputs have the order of the inputs, regardless of which execution ended first.
        return [output["0"] for output in outputs]

    # Deferred tasks occupy no worker slots, and one triggerer follows all their executions.
    decode = WhiteRabbitExecuteComponentOperator.partial(
        task_id="decode",
        module="DECODE_EVM_FUNCTION_RESULT",
        config={"functionName": "totalSupply"},
        deferrable=True,
    )
    numbers(decode.expand(input=results()).output)


whiterabbit_component()
whiterabbit_fan_out()
