"""DAGs with one sensor for each way to wait; the run's configuration holds the id of the execution."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_provider_whiterabbit.compat import AIRFLOW_V_3_0_PLUS, DAG, BaseOperatorLink, task
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor


@task
def describe(output: Any) -> list[str]:
    """Return the type and the representation of an output."""
    return [type(output).__name__, repr(output)]


def sensor_dag(dag_id: str, **sensor: Any) -> DAG:
    """Return a DAG with one sensor, given its other arguments."""
    retries = {"retries": 2, "retry_delay": timedelta(seconds=1)}
    with DAG(dag_id, schedule=None, catchup=False, default_args=retries) as dag:
        wait = WhiteRabbitExecutionSensor(
            task_id="wait", execution_id="{{ dag_run.conf['execution_id'] }}", poke_interval=1, **sensor
        )
        describe(wait.output)
    return dag


deferrable = sensor_dag("e2e_deferrable", deferrable=True)
poke = sensor_dag("e2e_poke", deferrable=False)
# Long enough for Airflow, which takes a task for failed that resumes before the scheduler has seen its worker exit.
soft_fail = sensor_dag("e2e_soft_fail", deferrable=True, soft_fail=True, timeout=30)
impatient = sensor_dag("e2e_impatient", deferrable=True, timeout=30)

with DAG("e2e_mapped", schedule=None, catchup=False) as mapped:

    @task
    def ids(dag_run: Any = None) -> list[str]:
        """Return the ids of the executions from the run's configuration."""
        return dag_run.conf["execution_ids"]

    WhiteRabbitExecutionSensor.partial(task_id="wait", deferrable=True).expand(execution_id=ids())


class WikiLink(BaseOperatorLink):
    """A link of a user."""

    name = "Wiki"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address."""
        return "https://wiki.example/"


class LinkedSensor(WhiteRabbitExecutionSensor):
    """A sensor of a user, with one more link; a link that no plugin registers would remove all links in Airflow 2."""

    operator_extra_links = (
        *WhiteRabbitExecutionSensor.operator_extra_links,
        *([WikiLink()] if AIRFLOW_V_3_0_PLUS else []),
    )


with DAG("e2e_linked", schedule=None, catchup=False):
    LinkedSensor(
        task_id="wait",
        whiterabbit_conn_id="mistyped",
        execution_id="{{ dag_run.conf['execution_id'] }}",
        deferrable=True,
        do_xcom_push=False,
    )
