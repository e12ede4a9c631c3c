"""DAGs with doubts: one whose few tasks run, and one whose many tasks have a pool without slots, so that none runs."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

with DAG("e2e_doubts", schedule=None, max_active_tasks=8) as few:
    for on_doubt in ("fail", "ask"):
        WhiteRabbitExecuteComponentOperator.partial(
            task_id=f"pay.{on_doubt}", module="DOUBTED", on_doubt=on_doubt, deferrable=False
        ).expand(input=[{"number": number} for number in range(3)])

with DAG("e2e_many_doubts", schedule=None) as many:
    WhiteRabbitExecuteComponentOperator.partial(task_id="pay", module="DOUBTED", pool="closed").expand(
        input=[{"number": number} for number in range(int(os.environ["MANY"]))]
    )
