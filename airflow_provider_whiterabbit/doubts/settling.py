"""Sends the answers that settle doubts: to a question that waits, or to the store of a task that is then cleared."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby

from airflow_provider_whiterabbit.doubts.airflow_api import AirflowApiError, RunApi
from airflow_provider_whiterabbit.doubts.answers import Answer
from airflow_provider_whiterabbit.operators.question import OPTIONS
from airflow_provider_whiterabbit.operators.submission import addressed, owners_in

_BATCH = 50
"""How many failed tasks are cleared at once. Their answers are stored before, and the moment between must be short."""


class Refused(Exception):
    """Raised if an answer does not fit the doubt any more."""


def settle(run: RunApi, answers: Sequence[Answer]) -> Iterator[tuple[Answer, str | None]]:
    """Settle doubts; yield each answer with None, or with the reason why it was refused."""
    for batch in _batches(answers):
        stored: list[Answer] = []
        for answer in batch:
            try:
                if _send(run, answer):
                    stored.append(answer)
                else:
                    yield answer, None
            except (AirflowApiError, Refused) as error:
                yield answer, str(error)
        if stored:
            yield from _clear(run, stored)


def clear_downstream(run: RunApi) -> list[tuple[str, int]]:
    """Clear the tasks that did not run because of a task upstream; return those that have submitted in an earlier try.

    Those are not cleared: a clear would tell them to submit anew. Airflow takes a task that waits for its retry for one
    that did not run, if a task upstream is cleared and fails.

    :raises AirflowApiError: if the others can't be cleared.
    """
    waiting = [(instance["task_id"], instance["map_index"]) for instance in run.instances("upstream_failed")]
    submitted = [place for place in waiting if run.records(*place)]
    if unstarted := [place for place in waiting if place not in submitted]:
        run.clear(unstarted)
    return submitted


def _batches(answers: Sequence[Answer]) -> Iterator[list[Answer]]:
    """Yield the answers in batches, those of one task instance together: its clear lets it look at all of them."""
    batch: list[Answer] = []
    for _, group in groupby(
        sorted(answers, key=lambda answer: answer.doubt.place), lambda answer: answer.doubt.instance
    ):
        if len(batch) >= _BATCH:
            yield batch
            batch = []
        batch += group
    if batch:
        yield batch


def _send(run: RunApi, answer: Answer) -> bool:
    """Send one answer; return whether the task has to be cleared.

    :raises Refused: if the record of the submission is not the one that was listed, or the id belongs to another key.
    """
    doubt = answer.doubt
    records = run.records(*doubt.instance) if doubt.key else {"": run.record(*doubt.place)}
    if records.get(doubt.key) != doubt.record:
        raise Refused("the record of the submission has changed meanwhile. List the doubts again.")
    owner = owners_in(records).get(answer.target_id or "", doubt.key)
    if owner != doubt.key:
        raise Refused(f"the id {answer.target_id} is the one of the key {owner!r} of this task. Name another id.")
    if doubt.waits:
        values = {doubt.field: answer.target_id} if doubt.field and answer.target_id else {}
        run.answer(*doubt.instance, OPTIONS[answer.choice], values)
        return False
    given = {"choice": answer.choice, "by": _user(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    if answer.target_id:
        given["id"] = answer.target_id
    run.store_answer(*doubt.place, addressed(doubt.record, given))
    return answer.choice != "stop"  # the task has failed already


def _clear(run: RunApi, answers: Sequence[Answer]) -> Iterator[tuple[Answer, str | None]]:
    """Clear the tasks whose answers have been stored."""
    cleared: set[tuple[str, int]] = set()
    reason = "the task was not cleared, because it is not failed any more."
    try:
        cleared = run.clear(list(dict.fromkeys(answer.doubt.instance for answer in answers)))
    except AirflowApiError as error:
        reason = f"the clear failed. If the task is still failed, run this command again. {error}"
    for answer in answers:
        yield answer, None if answer.doubt.instance in cleared else f"the answer is stored, but {reason}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "airflow whiterabbit doubts"  # a container may have no name for its user
