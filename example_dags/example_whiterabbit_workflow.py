"""Run workflows of White Rabbit and use what their stages put out.

The connection `whiterabbit_default` holds the API key and the API secret, and the key must be allowed to use the
workflow. Whatever dies meanwhile, a workflow is started once (Airflow 3.3 or newer).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor

# The id of a workflow is in White Rabbit's editor.
WORKFLOW = "demo"
# A retry after a lost worker is harmless, and what makes the task end well.
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=10)}


@task
def receipt(run: dict[str, Any]) -> Any:
    """Find the output of a stage in the record of a run."""
    return next(stage["output"] for stage in run["runStages"] if stage["module"] == "DEMO_TOKEN_SWAP")


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES)
def whiterabbit_workflow():
    """Run a workflow; the task's log tells how many of its stages are done."""
    run = WhiteRabbitTriggerWorkflowOperator(
        task_id="run",
        workflow_id=WORKFLOW,
        # Gives the worker back while waiting: the triggerer follows the run's event stream.
        deferrable=True,
        timeout=timedelta(hours=1),
    )
    receipt(run.output)


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES)
def whiterabbit_workflow_in_two_steps():
    """Start a workflow, and wait for it only where its result is needed."""

    @task
    def prepare() -> str:
        return "done while the workflow runs"

    start = WhiteRabbitTriggerWorkflowOperator(task_id="start", workflow_id=WORKFLOW, wait_for_completion=False)
    wait = WhiteRabbitWorkflowRunSensor(
        task_id="wait",
        # Without waiting, the operator returns the id of the run.
        workflow_run_id=start.output,
        deferrable=True,
        timeout=60 * 60,
    )
    start >> prepare() >> wait
    receipt(wait.output)


whiterabbit_workflow()
whiterabbit_workflow_in_two_steps()
