"""DAGs with waiting tasks for the UI tests; the run's configuration holds the ids that they wait for."""

from __future__ import annotations

from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor

EXECUTION = "{{ dag_run.conf['execution_id'] }}"
RUN = "{{ dag_run.conf['workflow_run_id'] }}"

with DAG("settlement", schedule=None, catchup=False):
    WhiteRabbitExecutionSensor(task_id="wait", execution_id=EXECUTION, deferrable=True)

with DAG("links", schedule=None, catchup=False):
    WhiteRabbitExecutionSensor(task_id="execution", execution_id=EXECUTION, deferrable=True)
    WhiteRabbitWorkflowRunSensor(task_id="workflow_run", workflow_run_id=RUN, deferrable=True)
    WhiteRabbitExecutionSensor(
        task_id="unlinked", whiterabbit_conn_id="whiterabbit_unlinked", execution_id=EXECUTION, deferrable=True
    )
