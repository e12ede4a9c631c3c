"""Refuses to submit what the task may have submitted in another way, before the DAG was changed within a DAG run.

An operator of one input, one of many and the code of a task keep their records in different places, so none of them
finds what another has submitted as its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.operators.fence.keyed import records_of
from airflow_provider_whiterabbit.operators.fence.runs import may_have_run
from airflow_provider_whiterabbit.operators.submission import Submission, Way, is_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from airflow_provider_whiterabbit.compat import Context

_SHOWN = 5
"""How many keys a message names at most."""


def refuse_replaced(way: Way, context: Context) -> None:
    """Refuse to submit what is new, unless this run has found all that earlier runs have submitted in other ways.

    The code of a task may use several ways. So what this run has found, or submitted anew, is no sign of a change of
    the DAG.

    :param way: how this run is about to submit.
    :raises AirflowFailException: if an earlier run has submitted in another way what this run has not asked for.
    """
    records, ti = records_of(context), context["ti"]
    if not records.survives_retries or (ti.try_number == 1 and not may_have_run(ti, context["task"])):
        return
    unfound = [key for key in records.earlier_keys() if key not in records.taken]
    inputs = [] if Way.MANY in (way, records.operator.resumed) else [key for key in unfound if is_key(key)]
    keys = [] if way is Way.CODE else [key for key in unfound if not is_key(key)]
    one = None if way is Way.ONE or records.operator.has_found else records.record_of_operator()
    if texts := list(_submitted(one, inputs, keys)):
        raise AirflowFailException(
            f"An earlier run of this task has submitted {' and '.join(texts)}, and this run has not asked for that "
            f"before it submits {way.value}. So nothing was submitted now: it could be the same. If the DAG was "
            "changed meanwhile, undo that, and clear this task; an operator needs on_clear='reattach' then, or it "
            "submits anew. Another task_id or DAG run submits anew too: use it only for what is missing. A task that "
            "submits several things does best to submit them all under keys."
        )


def _submitted(one: Any, inputs: list[str], keys: list[str]) -> Iterator[str]:
    if one is not None:
        yield _name_of(one)
    if inputs:
        yield f"{len(inputs):,} inputs"
    if keys:
        more = f" and {len(keys) - _SHOWN:,} more" if len(keys) > _SHOWN else ""
        yield f"the keys {', '.join(map(repr, keys[:_SHOWN]))}{more}"


def _name_of(stored: Any) -> str:
    try:
        one = Submission.from_stored(stored)
    except ValueError:
        return "what its stored record does not tell"
    return f"{one.subject or 'something'} at {one.at} as {one.target_id or 'an unknown execution'}"
