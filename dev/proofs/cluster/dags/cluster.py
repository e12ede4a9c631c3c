"""A DAG for each case, with tasks of every way of the plan, and the DAG that callbacks start."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.compat import DAG, task
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.proofs.cluster.plan import (
    CALLED_DAG,
    CALLED_MODULE,
    MODULE,
    SHORT_MODULE,
    Unit,
    names_by_task,
    names_of,
    units,
)

PLAN: dict[str, int] = json.loads(os.environ["CLUSTER_PLAN"])
OPTIONS: dict[str, Any] = {"schedule": None, "catchup": False, "max_active_tasks": 1000}
# A cluster whose parts fail needs some tries. What the provider must not try again, it fails without retries.
ARGUMENTS: dict[str, Any] = {"retries": 5, "retry_delay": timedelta(seconds=1)}
MAX_PAUSE = 10
"""Longest pause in seconds between two attempts to reach White Rabbit."""


@task
def once(names: list[str]) -> dict[str, Any]:
    """Submit an execution under each name, and return the outputs by name."""
    with WhiteRabbitHook() as hook:
        once = hook.once()
        for name in names:
            once.execute_component(name, SHORT_MODULE, {"unit": name})
        return once.results(timeout=300, poll_interval=MAX_PAUSE)


@task
def receive(**context: Any) -> Any:
    """Return the output of the execution whose callback has started the run."""
    return assets.execution(context).read().output


def submit(way: str, found: list[Unit], **options: Any) -> None:
    """Create an operator that submits an execution for each unit of a way."""
    inputs = [{"unit": name} for name in names_of(found, way)]
    operator = WhiteRabbitExecuteComponentOperator.partial(task_id=way, poll_interval=MAX_PAUSE, **options)
    operator.expand(input=inputs)


def wait(way: str, found: list[Unit], **options: Any) -> None:
    """Create a sensor that waits for an execution for each unit of a way."""
    ids = [f"{{{{ dag_run.conf['{name}'] }}}}" for name in names_of(found, way)]
    WhiteRabbitExecutionSensor.partial(task_id=way, **options).expand(execution_id=ids)


def create_tasks(found: list[Unit]) -> None:
    """Create the tasks of a case."""
    submit("component", found, module=MODULE, deferrable=True)
    submit("ending", found, module=MODULE, end_from_trigger=True)
    submit("worker", found, module=SHORT_MODULE, deferrable=False)
    submit("called", found, module=CALLED_MODULE, callback=True, wait_for_completion=False)
    wait("deferred", found, deferrable=True, poke_interval=MAX_PAUSE)
    wait("rescheduled", found, mode="reschedule", poke_interval=MAX_PAUSE)
    for number, name in enumerate(names_of(found, "triggerer")):
        WhiteRabbitExecutionSensor(
            task_id=f"triggerer_{number}",
            execution_id=f"{{{{ dag_run.conf['{name}'] }}}}",
            start_from_trigger=True,
            end_from_trigger=True,
            poke_interval=MAX_PAUSE,
        )
    workflow = WhiteRabbitTriggerWorkflowOperator.partial(task_id="workflow", deferrable=True, poll_interval=MAX_PAUSE)
    workflow.expand(workflow_id=names_of(found, "workflow"))
    once.expand(names=names_by_task(found, "once"))
    many = WhiteRabbitExecuteComponentsOperator.partial(
        task_id="many", module=MODULE, deferrable=True, inline_wait=0, poll_interval=MAX_PAUSE
    )
    many.expand(inputs=[[{"unit": name} for name in names] for names in names_by_task(found, "many")])


for case, found in enumerate(units(**PLAN)):
    with DAG(f"cluster_{case}", default_args=ARGUMENTS, **OPTIONS):
        create_tasks(found)

# Many executions start a run each, and the callbacks of a case come within seconds.
with DAG(
    CALLED_DAG,
    schedule=assets.each(assets.module(CALLED_MODULE, "both")),
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1000,
    default_args=ARGUMENTS,
):
    receive()
