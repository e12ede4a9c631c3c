"""Refuses to submit what the task may have submitted in another way, before the DAG was changed within a DAG run.

An operator of one input, one of many and the code of a task keep their records under different keys, so none of them
finds what another has submitted as its own.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.operators.fence import fence_of
from airflow_provider_whiterabbit.operators.fence.keyed import records_of
from airflow_provider_whiterabbit.operators.submission import is_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_whiterabbit.compat import Context
    from airflow_provider_whiterabbit.operators.submission import Submission


class Way(Enum):
    """How a task submits."""

    ONE = "an operator of one input"
    MANY = "an operator of many inputs"
    CODE = "keys in its code"


def refuse_replaced(way: Way, context: Context) -> None:
    """Refuse to submit if earlier tries of the task have submitted, but not in the way of this try.

    The code of a task may use several ways. So a way that this try has used too is no sign of a change of the DAG.

    :param way: how this try is about to submit.
    :raises AirflowFailException: if earlier tries have submitted in another way only.
    """
    records = records_of(context)
    if not records.survives_retries or context["ti"].try_number == 1:
        return
    keys = records.keys()
    of_inputs = [key for key in keys if is_key(key)]
    of_code = [key for key in keys if not is_key(key)]
    one = fence_of(context, "").earlier()
    earlier = {Way.ONE: one is not None, Way.MANY: bool(of_inputs), Way.CODE: bool(of_code)}
    if earlier[way] or not any(earlier.values()):
        return
    if records.has_operator if way is Way.CODE else not all(map(is_key, records.taken)):
        return
    raise AirflowFailException(
        "An earlier try of this task was another operator or other code, and has submitted "
        f"{' and '.join(_submitted(one, len(of_inputs), len(of_code)))}. So nothing was submitted now. Undo the change "
        "of the DAG, and clear this task. Another task_id or DAG run submits anew: use it only for what is missing."
    )


def _submitted(one: Submission | None, inputs: int, keys: int) -> Iterator[str]:
    if one is not None:
        yield f"{one.subject or 'something'} at {one.at} as {one.target_id or 'an unknown execution'}"
    if inputs:
        yield f"{inputs:,} inputs"
    if keys:
        yield f"what {keys:,} keys stand for"
