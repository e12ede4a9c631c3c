"""DAGs with waits that start or end in the triggerer: each way, each form of an id, and tasks that need a worker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.compat import DAG, task
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

# An id that is a literal in a DAG file must exist when Airflow parses the file.
LITERALS: dict[str, str] = json.loads(os.environ.get("E2E_LITERALS", "{}"))

WAYS = {
    "start": {"start_from_trigger": True},
    "end": {"end_from_trigger": True},
    "both": {"start_from_trigger": True, "end_from_trigger": True},
}
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=1)}


def new_callback(name: str) -> Callable[[Any], None]:
    """Return a callback for Airflow that writes the task's exception into a file, which shows that the callback ran."""

    def callback(context: Any) -> None:
        """Write the file."""
        ti = context["ti"]
        path = Path(os.environ["AIRFLOW_HOME"]) / "callbacks" / f"{ti.dag_id}.{ti.task_id}.{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(context.get("exception")))

    return callback


OUTCOMES: dict[str, dict[str, Any]] = {
    "completed": {},
    "failed": {"on_failure_callback": new_callback("failure")},
    "retried": RETRIES,
    # Long enough for Airflow, which takes a task for failed that resumes while its first process still exits.
    "late": {"timeout": 30, **RETRIES},
    "soft": {"soft_fail": True},
}


@task
def one_id(dag_run: Any = None) -> str:
    """Return an execution's id from the run's configuration."""
    return dag_run.conf["plain"]


@task
def two_ids(dag_run: Any = None) -> dict[str, str]:
    """Return an execution's id under a key of a dict."""
    return {"id": dag_run.conf["keyed"], "another": "x"}


@task
def show(output: Any) -> list[Any]:
    """Return the type and the value of an output."""
    return [type(output).__name__, output]


for way, arguments in WAYS.items():
    for outcome, more in OUTCOMES.items():
        with DAG(f"e2e_{way}_{outcome}", schedule=None, catchup=False):
            plain = one_id()
            literal = LITERALS.get(f"{way}_{outcome}", "none-yet")
            sensors = {
                "literal": literal,
                "template": "{{ ti.xcom_pull(task_ids='one_id') }}",
                "argument": plain,
                "keyed": two_ids()["id"],
            }
            for form, execution_id in sensors.items():
                wait = WhiteRabbitExecutionSensor(task_id=form, execution_id=execution_id, **arguments, **more)
                if form == "template":
                    plain >> wait
                if outcome == "completed":
                    show.override(task_id=f"show_{form}")(wait.output)

with DAG("e2e_operator_end", schedule=None, catchup=False):
    for module in ("END_COMPLETED", "END_FAILED"):
        execute = WhiteRabbitExecuteComponentOperator(task_id=module.lower(), module=module, end_from_trigger=True)
        show.override(task_id=f"show_{module.lower()}")(execute.output)

with DAG("e2e_obstacles", schedule=None, catchup=False):

    def new_sensor(task_id: str, **more: Any) -> WhiteRabbitExecutionSensor:
        """Return a sensor that may start and end in the triggerer, for an execution named like its task."""
        execution_id = f"{{{{ dag_run.conf['{task_id}'] }}}}"
        return WhiteRabbitExecutionSensor(task_id=task_id, execution_id=execution_id, **WAYS["both"], **more)

    new_sensor("on_success", on_success_callback=new_callback("success"))
    new_sensor("on_skipped", on_skipped_callback=new_callback("skipped"), soft_fail=True)
    new_sensor("on_execute", on_execute_callback=new_callback("execute"))
    new_sensor("outlets", outlets=[assets.named("e2e_waited")])
    new_sensor("no_xcom", do_xcom_push=False)
    new_sensor("hasty", execution_timeout=timedelta(seconds=30))

    @task
    def double(number: int) -> int:
        """Return twice the number."""
        return 2 * number

    double.expand(number=new_sensor("mapped_over").output)

    @task
    def many(dag_run: Any = None) -> list[str]:
        """Return the ids of several executions from the run's configuration."""
        return dag_run.conf["many"]

    WhiteRabbitExecutionSensor.partial(task_id="mapped", **WAYS["both"]).expand(execution_id=many())

with DAG("e2e_unknown", schedule=None, catchup=False):
    WhiteRabbitExecutionSensor(
        task_id="unknown",
        execution_id="00000000-0000-0000-0000-000000000000",
        on_retry_callback=new_callback("retry"),
        **WAYS["both"],
        **RETRIES,
    )
