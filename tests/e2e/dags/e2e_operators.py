"""DAGs with one operator for each way to submit and wait; the run's configuration names the module or workflow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_provider_whiterabbit.compat import DAG, task
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor


@task
def describe(output: Any) -> list[str]:
    """Return the type and the representation of an output."""
    return [type(output).__name__, repr(output)]


def new_dag(dag_id: str, retries: int = 2) -> DAG:
    """Return a DAG whose tasks have retries."""
    defaults = {"retries": retries, "retry_delay": timedelta(seconds=1)}
    return DAG(dag_id, schedule=None, catchup=False, default_args=defaults)


def component_dag(dag_id: str, retries: int = 2, **operator: Any) -> DAG:
    """Return a DAG with one component operator, given its other arguments."""
    with new_dag(dag_id, retries) as dag:
        execute = WhiteRabbitExecuteComponentOperator(
            task_id="execute",
            module="{{ dag_run.conf['module'] }}",
            input={"of": {"dag": "{{ dag.dag_id }}"}, "list": [1, 2.5, None, True]},
            **operator,
        )
        describe(execute.output)
    return dag


deferrable = component_dag("e2e_component_deferrable", deferrable=True)
worker = component_dag("e2e_component_worker", deferrable=False)
inline = component_dag(
    "e2e_component_inline",
    deferrable=True,
    config="inline.json.j2",
    attempts="{{ params.attempts }}",
    inline_wait="{{ params.seconds }}",
    timeout="{{ params.seconds * 60 }}",
    params={"attempts": 2, "seconds": 10},
)
submitted = component_dag("e2e_component_submitted", deferrable=True, wait_for_completion=False)
# Long enough for Airflow, which takes a task for failed that resumes before the scheduler has seen its worker exit.
impatient = component_dag("e2e_component_impatient", deferrable=True, timeout=30, retries=0)

with DAG("e2e_native", schedule=None, catchup=False, render_template_as_native_obj=True):
    for name, amount in {"number": "100", "text": "'100'"}.items():
        WhiteRabbitExecuteComponentOperator(task_id=name, module="NATIVE", input={"amount": amount}, retries=2)

WORKFLOW = "{{ dag_run.conf['workflow'] }}"

with new_dag("e2e_workflow_operator") as workflow_operator:
    start = WhiteRabbitTriggerWorkflowOperator(task_id="execute", workflow_id=WORKFLOW, deferrable=True)
    describe(start.output)

with new_dag("e2e_workflow_worker") as workflow_worker:
    start = WhiteRabbitTriggerWorkflowOperator(task_id="execute", workflow_id=WORKFLOW, deferrable=False)
    describe(start.output)

with new_dag("e2e_workflow_sensor") as workflow_sensor:
    start = WhiteRabbitTriggerWorkflowOperator(task_id="start", workflow_id=WORKFLOW, wait_for_completion=False)
    wait = WhiteRabbitWorkflowRunSensor(task_id="execute", workflow_run_id=start.output, deferrable=True)
    describe(wait.output)

with DAG("e2e_hundred", schedule=None, catchup=False, max_active_tasks=100) as hundred:

    @task
    def inputs(dag_run: Any = None) -> list[dict[str, int]]:
        """Return as many inputs as the run's configuration says."""
        return [{"number": number} for number in range(dag_run.conf["count"])]

    @task
    def squares(outputs: list[dict[str, int]]) -> list[int]:
        """Return the number in each output."""
        return [output["square"] for output in outputs]

    square = WhiteRabbitExecuteComponentOperator.partial(
        task_id="square", module="{{ dag_run.conf['module'] }}", deferrable=True
    )
    squares(square.expand(input=inputs()).output)
