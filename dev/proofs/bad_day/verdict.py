"""What came of a case: a line of the table, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from dev.harness.airflow_api import TaskInstance
from dev.proofs.bad_day.cases import Case
from dev.proofs.bad_day.day import Batch, Day, Wait

_PROCESSES = {"triggerer": 1, "worker": 2, "component": 2, "ending": 2}
"""In how many worker processes a wait may be in one try, if it is resumed once; the triggerer may leave the end to a
worker."""


@dataclass(frozen=True)
class Row:
    """A line of the table.

    :param waits: how many were in flight.
    :param ended: how many of them were to end.
    :param kills: processes killed.
    :param revived: components that had exited by themselves and were started again.
    :param retried: tasks that needed a second try.
    :param lost: tasks that did not end as specified.
    :param twice: submissions beyond one for each operator.
    :param recovery: seconds from the moment when nothing was wrong any more until the last of the waits had ended.
    :param why: what is wrong.
    """

    case: Case
    waits: int
    ended: int
    kills: int
    revived: int
    retried: int
    lost: int
    twice: int
    recovery: float
    why: str = ""


def judge(day: Day, case: Case, batch: Batch, waits: int, trouble: str) -> Row:
    """Look at every task of a batch that was to end.

    :param waits: how many were in flight when it began.
    :param trouble: what is known to be wrong.
    """
    tasks = batch.tasks()
    wrong = {}
    for wait in batch.waits:
        if found := "; ".join(_wrong(day, case, batch, wait, tasks[wait.task])):
            wrong[wait] = found
    submitted = Counter(
        entry.json["input"]["wait"] for entry in day.wr.requests(kind="submit") if entry.json["module"] == batch.module
    )
    twice = submitted.total() - batch.sizes["component"] - batch.sizes["ending"]
    ends = [datetime.fromisoformat(task.end_date).timestamp() for task in tasks.values() if task.end_date]
    why = [trouble] if trouble else []
    why += [f"{submitted} were submitted"] if twice else []
    why += [f"{wait}: {found}" for wait, found in wrong.items()]
    why += ["\n".join(batch.run.messages(*wait.task)[-30:]) for wait in list(wrong)[:2]]
    retried = sum(task.try_number > 1 for task in tasks.values())
    recovery = max(ends, default=0) - day.over_at
    counts = (waits, len(tasks), day.kills, day.revived.total(), retried, len(wrong), twice)
    return Row(case, *counts, recovery, "\n".join(why))


def _wrong(day: Day, case: Case, batch: Batch, wait: Wait, task: TaskInstance) -> Iterator[str]:
    if task.state != "success":
        yield f"{task.state} instead of success"
    tries = 2 if case.hits_workers and wait.way != "triggerer" else 1
    if task.try_number > tries:
        yield f"try {task.try_number}"
    output = batch.run.xcom(wait.task[0], map_index=wait.task[1])
    if output != {batch.module: str(wait)} or output != day.wr.execution(wait.identity)["output"]:
        yield f"XCom {output}"
    processes = batch.run.messages(*wait.task).count("::group::Pre Execute")
    if processes > task.try_number * _PROCESSES[wait.way]:
        yield f"{processes} worker processes"


def collected(batch: Batch) -> str:
    """Return what is wrong with what the next task got from a batch."""
    expected = sorted(str(wait) for wait in batch.waits)
    got = sorted(str(output.get(batch.module)) for output in batch.run.xcom("collect") or ())
    return "" if got == expected else f"the next task got {got}\n" + "\n".join(batch.run.messages("collect")[-20:])
