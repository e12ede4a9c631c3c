"""Submit components without waiting, and let White Rabbit's callbacks start what comes next.

The connection `whiterabbit_default` needs a `callback_secret`, and the configuration says who is served and where:

    [whiterabbit]
    callback_connections = whiterabbit_default
    callback_base_url = https://airflow.example.org
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, Asset, dag, task

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

START = datetime(2026, 1, 1, tzinfo=UTC)  # without which Airflow 2 schedules nothing

# Its events remember what was submitted, for the day when a callback is lost.
submitted = Asset("whiterabbit_submitted")


@dag(schedule=None, catchup=False, tags=["whiterabbit"])
def whiterabbit_submit_and_go():
    """Submit a component and end: nothing waits for it."""
    submit = WhiteRabbitExecuteComponentOperator(
        task_id="submit",
        module="DEMO_TOKEN_SWAP",
        input={"amount": "1000000000000000000", "side": "BUY", "route": []},
        callback=True,
        wait_for_completion=False,
        retries=2,
        retry_delay=timedelta(seconds=10),
    )

    @task(outlets=[submitted])
    def remember(execution_id: str, **context: Any) -> None:
        context["outlet_events"][submitted].extra = {"execution_id": execution_id}

    remember(submit.output)


@dag(
    schedule=assets.each(assets.module("DEMO_TOKEN_SWAP", "both")),
    catchup=False,
    tags=["whiterabbit"],
    start_date=START,
)
def whiterabbit_swapped():
    """Run once for each swap that has ended (Airflow 3.2 or newer)."""

    @task
    def settle(**context: Any) -> Any:
        swap = assets.execution(context)
        if swap.status == "FAILED":
            raise AirflowFailException(f"the swap {swap.id} failed: {swap.read().error}")
        # The event holds the id and the status; the output is White Rabbit's to give.
        return swap.read().output

    settle()


@dag(schedule="@hourly", catchup=False, tags=["whiterabbit"], start_date=START)
def whiterabbit_recover_callbacks():
    """Have the callbacks delivered again that were lost, such as while Airflow was down."""

    @task(inlets=[submitted])
    def recent(**context: Any) -> list[str]:
        events = context["inlet_events"][submitted].ascending(False).limit(500)
        return [event.extra["execution_id"] for event in events]

    WhiteRabbitReplayCallbacksOperator(task_id="replay", execution_ids=recent(), retries=2)


whiterabbit_submit_and_go()
whiterabbit_swapped()
whiterabbit_recover_callbacks()
