"""Run workflows of White Rabbit and use the outputs of their stages.

The connection `whiterabbit_default` holds the API key and the API secret. The key must be allowed to use the workflow.
Each task starts its workflow at most once, even if processes die (Airflow 3.3 or newer).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task  # type: ignore[attr-defined,no-redef]

from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor

# White Rabbit's editor shows the id of a workflow.
WORKFLOW = "demo"
# If a worker is lost, the retry waits for the same run and does not start the workflow again.
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=10)}


@task
def receipt(run: dict[str, Any]) -> Any:
    """Return the output of one stage from the record of a run."""
    return next(stage["output"] for stage in run["runStages"] if stage["module"] == "WAIT_FOR_EVM_TRANSACTION")


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES)
def whiterabbit_workflow():
    """Run a workflow and wait for its end; the task's log shows how many stages have ended."""
    run = WhiteRabbitTriggerWorkflowOperator(
        task_id="run",
        workflow_id=WORKFLOW,
        # Free the worker during the wait: the triggerer follows the run's event stream.
        deferrable=True,
        timeout=timedelta(hours=1),
    )
    receipt(run.output)


@dag(schedule=None, catchup=False, tags=["whiterabbit"], default_args=RETRIES)
def whiterabbit_workflow_in_two_steps():
    """Start a workflow, do something else, and then wait for the workflow's run."""

    @task
    def prepare() -> str:
        return "done while the workflow runs"

    start = WhiteRabbitTriggerWorkflowOperator(task_id="start", workflow_id=WORKFLOW, wait_for_completion=False)
    wait = WhiteRabbitWorkflowRunSensor(
        task_id="wait",
        # With wait_for_completion=False, the operator returns the id of the run.
        workflow_run_id=start.output,
        deferrable=True,
        timeout=60 * 60,
    )
    start >> prepare() >> wait
    receipt(wait.output)


whiterabbit_workflow()
whiterabbit_workflow_in_two_steps()
