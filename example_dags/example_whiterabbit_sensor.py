"""Wait for executions of White Rabbit with the sensor.

The connection `whiterabbit_default` holds the API key and the API secret. The Airflow variable `secret_rpc_url` holds
the address of an Ethereum node. These DAGs also run against the emulator, which makes up the outputs.
"""

from __future__ import annotations

from typing import Any

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task  # type: ignore[attr-defined,no-redef]

from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.secrets import secret
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

# The address of a node holds an access key, so the DAG names the variable; Airflow stores the name, not the address.
RPC_URL = secret(variable="secret_rpc_url")
# The first transaction of Ethereum.
TRANSACTION = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"


@task(retries=0)  # a retry would submit another execution
def submit(module: str, inputs: dict[str, Any] | None = None, config: dict[str, Any] | None = None) -> str:
    """Submit an execution and return its id; the execution continues at White Rabbit after this task has ended."""
    return WhiteRabbitHook().execute_component(module, inputs, config, allowed_secrets=[RPC_URL]).id


@dag(schedule=None, catchup=False, tags=["whiterabbit"])
def whiterabbit_long_execution():
    """Wait for two long executions: with the operator, which submits too, and with the sensor."""
    inputs = {"jsonRpcUrl": RPC_URL, "transactionHash": TRANSACTION}

    @task
    def report(executed: dict[str, Any], waited: dict[str, Any]) -> str:
        # The output is the JSON value that White Rabbit returned; a JSON object is a dict.
        return f"blocks {executed['blockNumber']} and {waited['blockNumber']}"

    execute = WhiteRabbitExecuteComponentOperator(
        task_id="execute",
        # White Rabbit's component catalogue lists the inputs and the configuration of each component.
        module="WAIT_FOR_EVM_TRANSACTION",
        input=inputs,
        # Free the worker during the wait: the triggerer follows the execution's event stream.
        deferrable=True,
        # The timeout is in seconds; the default is a week.
        timeout=60 * 60,
        # A retry waits for the execution that an earlier try has submitted (Airflow 3.3 or newer).
        retries=2,
    )
    wait = WhiteRabbitExecutionSensor(
        task_id="wait",
        # The sensor waits for an execution that something else has submitted, here another task.
        execution_id=submit("WAIT_FOR_EVM_TRANSACTION", inputs),
        # The output and the error may repeat inputs.
        hidden_secrets=[RPC_URL],
        deferrable=True,
        timeout=60 * 60,
    )
    report(execute.output, wait.output)


@dag(schedule=None, catchup=False, tags=["whiterabbit"])
def whiterabbit_sensor_modes():
    """Wait in each of the three ways. They return the same output and differ in the resources that a wait occupies."""

    @task
    def show(output: dict[str, Any]) -> str:
        return output["uuid"]

    def wait(task_id: str, **how: Any) -> WhiteRabbitExecutionSensor:
        execution_id = submit.override(task_id=f"submit_{task_id}")("RANDOM_UUID")
        return WhiteRabbitExecutionSensor(task_id=task_id, execution_id=execution_id, timeout=60 * 60, **how)

    # poke occupies a worker slot during the whole wait: use it for executions of seconds.
    poke = wait("poke", mode="poke", deferrable=False, poke_interval=2)
    # reschedule occupies a worker slot for each poll: use it for long executions if you run no triggerer.
    reschedule = wait("reschedule", mode="reschedule", deferrable=False, poke_interval=10)
    # deferrable occupies no worker slot and notices the end at once: prefer it.
    deferrable = wait("deferrable", deferrable=True)

    for sensor in (poke, reschedule, deferrable):
        show.override(task_id=f"show_{sensor.task_id}")(sensor.output)


whiterabbit_long_execution()
whiterabbit_sensor_modes()
