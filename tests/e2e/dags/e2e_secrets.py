"""A DAG of all code that handles secrets: waits and submissions that succeed, fail, are refused, or do not connect.

Its inputs name secrets, which the components repeat in their outputs and errors.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_provider_whiterabbit.compat import DAG, task
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.secrets import secret
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor

GOOD, REFUSED, AWAY = ({"whiterabbit_conn_id": f"secrets_{name}"} for name in ("good", "refused", "away"))
DEFERRED = {"deferrable": True}
THERE = {"start_from_trigger": True, "end_from_trigger": True}
CALLED_BACK = {"callback_url": "{{ dag_run.conf['callback_url'] }}"}
EXECUTION = "{{ dag_run.conf['execution_id'] }}"
RPC = secret(connection="secrets_inputs", field="extra.secret_rpc_url")
TOKEN = secret(variable="secrets_token")
INPUTS = {"jsonRpcUrl": RPC, "headers": {"Authorization": f"Bearer {TOKEN}"}}
NOWHERE = "00000000-0000-0000-0000-000000000000"

with DAG("e2e_secrets", schedule=None, catchup=False, default_args={"retry_delay": timedelta(seconds=1)}):

    def wait(task_id: str, execution_id: Any = EXECUTION, **how: Any) -> WhiteRabbitExecutionSensor:
        """Return a sensor for an execution."""
        return WhiteRabbitExecutionSensor(task_id=task_id, execution_id=execution_id, poke_interval=2, **how)

    def execute(task_id: str, module: str = "SECRETS", **how: Any) -> WhiteRabbitExecuteComponentOperator:
        """Return an operator for a component."""
        return WhiteRabbitExecuteComponentOperator(task_id=task_id, module=module, **how)

    @task
    def call() -> Any:
        """Print everything that the hook shows about itself, and call White Rabbit."""
        hook = WhiteRabbitHook(**GOOD)
        execution = hook.execute_component("SECRET_INPUTS", INPUTS, inline_wait=5, allowed_secrets=[RPC, TOKEN])
        print(hook, vars(hook), hook.get_conn(), hook.test_connection(), execution, execution.raw)
        return hook.get_components()

    call()
    wait("wait_poke", **GOOD)
    wait("wait_deferred", **GOOD, **DEFERRED)
    wait("wait_there", **GOOD, **THERE)
    wait("wait_unknown", NOWHERE, **GOOD)
    wait("wait_unknown_there", NOWHERE, **GOOD, **THERE)
    wait("wait_refused", **REFUSED)
    wait("wait_refused_there", **REFUSED, **THERE)
    wait("wait_away", **AWAY, timeout=30)
    wait("wait_away_there", **AWAY, **THERE, timeout=40)  # a busy triggerer needs some of it to read the connection
    execute("execute_worker", **GOOD, **CALLED_BACK)
    execute("execute_deferred", "SECRETS_DEFERRED", **GOOD, **CALLED_BACK, **DEFERRED)
    execute("execute_failed", "SECRETS_FAILED", **GOOD, **CALLED_BACK, **DEFERRED, end_from_trigger=True)
    execute("execute_uncertain", "SECRETS_UNCERTAIN", **GOOD, **CALLED_BACK, retries=1)
    execute("execute_invalid", **GOOD, callback_url="{{ 'ftp' }}://127.0.0.1")
    execute("execute_refused", **REFUSED, **CALLED_BACK)
    execute("execute_away", **AWAY, **CALLED_BACK)
    operator = WhiteRabbitExecuteComponentOperator
    operator.partial(task_id="inputs_mapped", module="SECRET_INPUTS", **GOOD).expand(input=[INPUTS])
    execute("inputs_there", "SECRET_INPUTS_DEFERRED", **GOOD, input=INPUTS, end_from_trigger=True)
    execute("inputs_failed", "SECRET_INPUTS_FAILED", **GOOD, input=INPUTS, **DEFERRED)
    execute("inputs_uncertain", "SECRETS_UNCERTAIN", **GOOD, input=INPUTS, retries=1)
    execute("inputs_missing", **GOOD, input={"url": f"{RPC}/{secret(variable='secrets_nowhere')}"})
    execute("inputs_data", **GOOD, input={"url": "{{ dag_run.conf['name'] }}"})
    deferred = "SECRET_INPUTS_DEFERRED"
    submitted = execute("inputs_file", deferred, **GOOD, input="inputs.json", wait_for_completion=False)
    wait("wait_inputs", submitted.output, **GOOD, **DEFERRED, hidden_secrets=[RPC, TOKEN])
    run = WhiteRabbitTriggerWorkflowOperator(task_id="run", workflow_id="SECRETS", **GOOD, **DEFERRED)
    started = "{{ ti.xcom_pull(task_ids='run', key='workflow_run_id') }}"
    run >> WhiteRabbitWorkflowRunSensor(task_id="wait_run", workflow_run_id=started, **GOOD, **DEFERRED)
