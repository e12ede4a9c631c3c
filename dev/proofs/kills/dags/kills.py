"""The DAGs of the kills."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from airflow_provider_whiterabbit.compat import DAG, task
from dev.proofs.kills.stopping import FOLDER, PAY, StoppingManyOperator, StoppingOperator, kills_dag, pay_each

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context

deferred = kills_dag("kills_deferred", deferrable=True)
worker = kills_dag("kills_worker", deferrable=False)
once = kills_dag("kills_once", deferrable=False, retries=0)
resubmit = kills_dag("kills_resubmit", deferrable=True, on_failed_execution="resubmit", on_doubt="resubmit")
ask = kills_dag("kills_ask", deferrable=True, on_doubt="ask")
moved = kills_dag("kills_moved", deferrable=True, whiterabbit_conn_id="kills_moved")
child = kills_dag("kills_child", deferrable=True, on_clear="reattach")


def inputs_of(module: str) -> list[dict[str, str]]:
    """Return the inputs of the mapped task."""
    inputs: list[dict[str, str]] = json.loads((FOLDER / f"{module}.payees").read_text())
    return inputs


with DAG("kills_mapped", schedule=None, catchup=False):
    payees = PythonOperator(task_id="payees", python_callable=inputs_of, op_args=["{{ dag_run.conf['module'] }}"])
    # The config tells the test which task instance has sent a submission.
    config = {"index": "{{ ti.map_index }}"}
    StoppingOperator.partial(**PAY, config=config, retries=2, deferrable=True).expand(input=payees.output)


with DAG("kills_keys", schedule=None, catchup=False, max_active_runs=100, max_active_tasks=100):

    @task(retries=2, retry_delay=PAY["retry_delay"])
    def pay(module: str, stops: str, input: dict[str, str]) -> Any:  # noqa: A002  # as the operator's argument
        """Pay Alice, and then the payee of the input."""
        return pay_each("alice", input["payee"], module=module, stops=stops)

    pay(module=PAY["module"], stops=PAY["stops"], input={"payee": "bob"})


for name, is_deferrable in {"kills_many": True, "kills_many_worker": False}.items():
    with DAG(name, schedule=None, catchup=False, max_active_runs=100, max_active_tasks=100) as dag:
        # One at a time, so that the first input is submitted, and recorded, when the second one stops.
        StoppingManyOperator(
            **PAY,
            inputs=[{"payee": "alice"}, {"payee": "bob"}],
            at_once=1,
            inline_wait=0,
            retries=2,
            deferrable=is_deferrable,
        )
    globals()[name] = dag


class PatientParent(TriggerDagRunOperator):
    """Runs another DAG and waits for its end; in the first try too long, so that the try can be killed.

    :param module: names the file for the process id; templated.
    """

    template_fields = (*TriggerDagRunOperator.template_fields, "module")

    def __init__(self, *, module: str, **kwargs: Any) -> None:
        super().__init__(conf={"module": module, "stops": ""}, **kwargs)
        self.module = module

    def execute(self, context: Context) -> Any:
        """Write the process id, and run the other DAG."""
        self.poke_interval = 3600 if context["ti"].try_number == 1 else 1
        (FOLDER / f"{self.module}.parent.pid").write_text(str(os.getpid()))
        return super().execute(context)


with DAG("kills_parent", schedule=None, catchup=False):
    PatientParent(
        task_id="run_child",
        trigger_dag_id="kills_child",
        trigger_run_id="{{ dag_run.run_id }}-child",
        module=PAY["module"],
        reset_dag_run=True,
        wait_for_completion=True,
        retries=2,
        retry_delay=PAY["retry_delay"],
    )
