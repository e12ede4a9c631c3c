"""The outcome of a case of a bad day: a row of the table, and what differs from the specification."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from dev.harness.airflow_api import TaskInstance
from dev.proofs.bad_day.cases import Case
from dev.proofs.bad_day.testbed import Batch, Testbed, Wait

_MAX_PROCESSES = {"triggerer": 1, "worker": 2, "component": 2, "ending": 2}
"""How many worker processes may run a wait in one try if the task is resumed once. The triggerer may leave the end of a
task to a worker."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    :param waits: how many waits were in flight when the case began.
    :param ended: how many of the waits ended around the case.
    :param kills: processes that the case has killed.
    :param restarts: components that exited by themselves and were started again.
    :param retried: tasks that needed a second try.
    :param lost: tasks that did not end as specified.
    :param twice: submissions beyond one for each operator.
    :param recovery: seconds from the end of the failure to the end of the last wait.
    :param unexpected: what differs from the specification, with the ends of task logs; empty if nothing does.
    """

    case: Case
    waits: int
    ended: int
    kills: int
    restarts: int
    retried: int
    lost: int
    twice: int
    recovery: float
    unexpected: str = ""


def outcome_of(testbed: Testbed, case: Case, batch: Batch, waits: int, problem: str) -> Row:
    """Check every task of the batch that ended around a case.

    :param waits: how many waits were in flight when the case began.
    :param problem: a problem that is already known; empty if there is none.
    """
    tasks = batch.tasks()
    problems = {}
    for wait in batch.waits:
        if problems_of_wait := "; ".join(_problems(testbed, case, batch, wait, tasks[wait.task])):
            problems[wait] = problems_of_wait
    submissions = Counter(
        entry.json["input"]["wait"]
        for entry in testbed.wr.requests(kind="submit")
        if entry.json["module"] == batch.module
    )
    twice = submissions.total() - batch.sizes["component"] - batch.sizes["ending"]
    end_times = [datetime.fromisoformat(task.end_date).timestamp() for task in tasks.values() if task.end_date]
    unexpected = [problem] if problem else []
    unexpected += [f"submissions: {submissions}"] if twice else []
    unexpected += [f"{wait}: {problems_of_wait}" for wait, problems_of_wait in problems.items()]
    unexpected += ["\n".join(batch.run.messages(*wait.task)[-30:]) for wait in list(problems)[:2]]
    retried = sum(task.try_number > 1 for task in tasks.values())
    recovery = max(end_times, default=0) - testbed.failure_over_at
    counts = (waits, len(tasks), testbed.kills, testbed.restarts.total(), retried, len(problems), twice)
    return Row(case, *counts, recovery, "\n".join(unexpected))


def _problems(testbed: Testbed, case: Case, batch: Batch, wait: Wait, task: TaskInstance) -> Iterator[str]:
    if task.state != "success":
        yield f"the task's state is {task.state} instead of success"
    allowed_tries = 2 if case.hits_workers and wait.way != "triggerer" else 1
    if task.try_number > allowed_tries:
        yield f"the task needed {task.try_number} tries"
    output = batch.run.xcom(wait.task[0], map_index=wait.task[1])
    if output != {batch.module: str(wait)} or output != testbed.wr.execution(wait.execution_id)["output"]:
        yield f"the task's XCom is {output}"
    processes = batch.run.messages(*wait.task).count("::group::Pre Execute")
    if processes > task.try_number * _MAX_PROCESSES[wait.way]:
        yield f"{processes} worker processes ran the task"


def collect_problem(batch: Batch) -> str:
    """Check that the task `collect` has received the output of each wait; return what is wrong, or an empty string."""
    expected = sorted(str(wait) for wait in batch.waits)
    received = sorted(str(output.get(batch.module)) for output in batch.run.xcom("collect") or ())
    if received == expected:
        return ""
    return f"the task collect received {received}\n" + "\n".join(batch.run.messages("collect")[-20:])
