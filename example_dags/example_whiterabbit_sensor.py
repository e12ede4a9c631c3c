"""Wait for executions of White Rabbit with the sensor.

The connection `whiterabbit_default` holds the API key and the API secret. The emulator has to be told what an execution
puts out: `emulator.script("WAIT_FOR_EVM_TRANSACTION", output={"blockNumber": 21345678, "success": True}, after=5)`.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor


@task(retries=0)  # a retry would submit a second execution
def submit(module: str, inputs: dict[str, Any] | None = None, config: dict[str, Any] | None = None) -> str:
    """Submit an execution and hand on its id; White Rabbit works on it after this task has ended."""
    return WhiteRabbitHook().execute_component(module, inputs, config).id


@dag(schedule=None, catchup=False, tags=["whiterabbit"])
def whiterabbit_long_execution():
    """Wait for an execution that takes its time, and use its output."""

    @task
    def report(receipt: dict[str, Any]) -> str:
        # The output is the JSON value that White Rabbit gave: an object stays an object.
        return f"in block {receipt['blockNumber']}, {'' if receipt['success'] else 'not '}successful"

    wait = WhiteRabbitExecutionSensor(
        task_id="wait",
        # The inputs and the configuration of a component are listed in White Rabbit's catalogue.
        execution_id=submit(
            "WAIT_FOR_EVM_TRANSACTION", {"transactionHash": "0x5c50…e3a1", "chainId": 1}, {"confirmations": 12}
        ),
        # Gives the worker back while waiting: the triggerer follows the execution's event stream.
        deferrable=True,
        # In seconds; the default is a week.
        timeout=60 * 60,
    )
    report(wait.output)


@dag(schedule=None, catchup=False, tags=["whiterabbit"])
def whiterabbit_sensor_modes():
    """Wait in each of the three ways. They differ in what they hold meanwhile, the output is the same."""

    @task
    def show(output: dict[str, Any]) -> str:
        return output["uuid"]

    def wait(task_id: str, **how: Any) -> WhiteRabbitExecutionSensor:
        execution_id = submit.override(task_id=f"submit_{task_id}")("RANDOM_UUID")
        return WhiteRabbitExecutionSensor(task_id=task_id, execution_id=execution_id, timeout=60 * 60, **how)

    # Holds a worker slot all the time: for executions of seconds.
    poke = wait("poke", mode="poke", deferrable=False, poke_interval=2)
    # Takes a worker slot for each look: for executions of hours where no triggerer runs.
    reschedule = wait("reschedule", mode="reschedule", deferrable=False, poke_interval=2)
    # Holds no worker slot and notices the end at once: the one to prefer.
    deferrable = wait("deferrable", deferrable=True)

    for sensor in (poke, reschedule, deferrable):
        show.override(task_id=f"show_{sensor.task_id}")(sensor.output)


whiterabbit_long_execution()
whiterabbit_sensor_modes()
