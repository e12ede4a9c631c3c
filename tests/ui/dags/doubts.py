"""A DAG whose tasks ask a person about a doubt; the emulator loses the answers to their submissions (Airflow 3.3+)."""

from __future__ import annotations

from airflow_provider_whiterabbit.compat import AIRFLOW_V_3_3_PLUS, DAG
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

INPUT = {"to": "0x9fc76417374aa880", "amount": "125.00"}

if AIRFLOW_V_3_3_PLUS:
    with DAG("doubts", schedule=None, catchup=False):
        WhiteRabbitExecuteComponentOperator(task_id="pay", module="TRANSFER", input=INPUT, on_doubt="ask")
        WhiteRabbitExecuteComponentOperator.partial(task_id="pay_all", input=INPUT, on_doubt="ask").expand(
            module=["PAYOUT", "REFUND"]
        )
