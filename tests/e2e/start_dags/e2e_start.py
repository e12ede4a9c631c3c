"""DAGs of tasks that a cluster policy or a subclass changes after their `__init__`, and of a mapped task group."""

from __future__ import annotations

from typing import Any

from airflow_provider_whiterabbit.compat import DAG, BaseOperator, task, task_group
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "poke_interval": 1},
    # Airflow takes a process that exits late, after its task was started again, for a failure of the task.
    "reschedule": {"mode": "reschedule", "poke_interval": 10},
    "deferrable": {"deferrable": True},
    "triggerer": {"start_from_trigger": True},
}

with DAG("e2e_start_group", schedule=None, catchup=False):

    @task
    def ids(dag_run: Any = None) -> list[str]:
        """Return the ids of several executions from the run's configuration."""
        return dag_run.conf["ids"]

    @task
    def same(execution_id: str) -> str:
        """Return the id."""
        return execution_id

    @task_group
    def each(execution_id: str) -> None:
        """Wait for one execution in each mode."""
        the_same = same(execution_id)
        for mode, arguments in MODES.items():
            WhiteRabbitExecutionSensor(task_id=mode, execution_id=the_same, **arguments)

    each.expand(execution_id=ids())


class ConfiguredSensor(WhiteRabbitExecutionSensor):
    """A sensor whose connection is set after the provider's `__init__`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.whiterabbit_conn_id = "set_later"


class Composite(BaseOperator):
    """An operator of the user that executes one of the provider."""

    def execute(self, context: Any) -> Any:
        """Execute a component and return its output."""
        return WhiteRabbitExecuteComponentOperator(task_id="inner", module="E2E", deferrable=True).execute(context)


with DAG("e2e_start_changed", schedule=None, catchup=False):
    there: dict[str, Any] = {"execution_id": "{{ dag_run.conf['id'] }}", "start_from_trigger": True}
    ConfiguredSensor(task_id="configured", whiterabbit_conn_id="missing", **there)
    WhiteRabbitExecutionSensor(task_id="capped", **there)  # a cluster policy of the test sets its timeout
    WhiteRabbitExecutionSensor(task_id="hooked", **there)  # a cluster policy of the test adds a callback
    WhiteRabbitExecutionSensor(task_id="without_id", execution_id="{{ none }}", start_from_trigger=True)

with DAG("e2e_start_macro", schedule=None, catchup=False, user_defined_macros={"id_in": lambda conf: conf["id"]}):
    WhiteRabbitExecutionSensor(
        task_id="wait", execution_id="{{ id_in(dag_run.conf) }}", start_from_trigger=True
    ) >> Composite(task_id="composite")

with DAG("e2e_start_long", schedule=None, catchup=False):
    # A cluster policy of the test lets it log each second that the wait goes on.
    WhiteRabbitExecuteComponentOperator(task_id="patient", module="PATIENT", deferrable=False)
