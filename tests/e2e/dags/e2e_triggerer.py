"""Waits that start or end in the triggerer: every way, with every form of an id, and what can't go that way."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

# Ids that are literals in a DAG file have to be known when it is parsed.
LITERALS: dict[str, str] = json.loads(os.environ.get("E2E_LITERALS", "{}"))

WAYS = {
    "start": {"start_from_trigger": True},
    "end": {"end_from_trigger": True},
    "both": {"start_from_trigger": True, "end_from_trigger": True},
}
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=1)}


def noted(what: str):
    """Return a callback that leaves a line where the test finds it."""

    def note(context: Any) -> None:
        path = Path(os.environ["AIRFLOW_HOME"]) / "noted" / f"{context['ti'].dag_id}.{context['ti'].task_id}.{what}"
        path.parent.mkdir(exist_ok=True)
        path.touch()

    return note


OUTCOMES: dict[str, dict[str, Any]] = {
    "completed": {},
    "failed": {"on_failure_callback": noted("failure")},
    "retried": RETRIES,
    "late": {"timeout": 8},
    "soft": {"soft_fail": True},
}


@task
def one_id(dag_run: Any = None) -> str:
    return dag_run.conf["plain"]


@task
def two_ids(dag_run: Any = None) -> dict[str, str]:
    return {"id": dag_run.conf["keyed"], "another": "x"}


@task
def show(output: Any) -> list[Any]:
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

    def waiting(task_id: str, **more: Any) -> WhiteRabbitExecutionSensor:
        execution_id = f"{{{{ dag_run.conf['{task_id}'] }}}}"
        return WhiteRabbitExecutionSensor(task_id=task_id, execution_id=execution_id, **WAYS["both"], **more)

    waiting("on_success", on_success_callback=noted("success"))
    waiting("on_skipped", on_skipped_callback=noted("skipped"), soft_fail=True)
    waiting("on_execute", on_execute_callback=noted("execute"))
    waiting("outlets", outlets=[assets.named("e2e_waited")])
    waiting("no_xcom", do_xcom_push=False)
    waiting("hasty", execution_timeout=timedelta(seconds=6))

    @task
    def double(number: int) -> int:
        return 2 * number

    double.expand(number=waiting("mapped_over").output)

    @task
    def many(dag_run: Any = None) -> list[str]:
        return dag_run.conf["many"]

    WhiteRabbitExecutionSensor.partial(task_id="mapped", **WAYS["both"]).expand(execution_id=many())

with DAG("e2e_unknown", schedule=None, catchup=False):
    WhiteRabbitExecutionSensor(
        task_id="unknown",
        execution_id="00000000-0000-0000-0000-000000000000",
        on_retry_callback=noted("retry"),
        **WAYS["both"],
        **RETRIES,
    )
