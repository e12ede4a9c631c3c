"""Refuses to submit what the task may have submitted as another operator, before the DAG was changed within a DAG run.

An operator of one input and one of many keep their records in different places, so neither finds what the other has
submitted as its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.operators.fence.keyed import records_of
from airflow_provider_whiterabbit.operators.inputs import is_key

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context
    from airflow_provider_whiterabbit.operators.fence import Fence


def refuse_one(fence: Fence) -> None:
    """Refuse to submit many inputs if the task has the record of an operator of one input.

    :raises AirflowFailException: if there is the record.
    """
    earlier = fence.earlier() if fence.survives_retries else None
    if earlier is not None:
        target_id = earlier.target_id or "an unknown execution"
        raise _refusal(f"{earlier.subject or 'something'} at {earlier.at} as {target_id}")


def refuse_many(fence: Fence, context: Context) -> None:
    """Refuse to submit one input if the task has records of an operator of many inputs.

    :raises AirflowFailException: if there are records.
    """
    if (
        fence.survives_retries
        and context["ti"].try_number > 1
        and (count := sum(map(is_key, records_of(context).keys())))
    ):
        raise _refusal(f"{count:,} inputs")


def _refusal(submitted: str) -> AirflowFailException:
    return AirflowFailException(
        f"An earlier try of this task was another operator, and has submitted {submitted}. So nothing was submitted "
        "now. Give this operator a task_id of its own, or start another DAG run."
    )
