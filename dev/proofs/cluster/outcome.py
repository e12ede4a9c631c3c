"""The outcome of a case: a row of the table, and what differs from the promise."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from dev.harness.airflow_api import FINISHED
from dev.proofs.cluster.ledger import Called, Place, Record, Task
from dev.proofs.cluster.plan import SENSORS, STAGES, Unit

End = Literal["ended", "doubted", "stuck", "wrong"]

NO_TASK = Task(None, 0, None)


@dataclass(frozen=True)
class Facts:
    """What Airflow and White Rabbit know after a case.

    :param submissions: how many submissions White Rabbit has received, by the unit's name.
    :param in_flight: the units whose submission was in flight when a part failed.
    :param tasks: the task instances of the case, and `results`, `records` and `ids` what they have returned, what the
        task state store holds of their submissions, and the ids of their executions.
    :param called: the runs that callbacks have started, by the execution's id.
    """

    submissions: Counter[str]
    in_flight: Set[Unit]
    tasks: Mapping[Place, Task]
    results: Mapping[Place, Any]
    records: Mapping[Place, Sequence[Record]]
    ids: Mapping[Place, str]
    called: Mapping[str, Sequence[Called]]

    def runs_of(self, unit: Unit) -> Sequence[Called]:
        """Return the runs that the callback of a unit has started."""
        return self.called.get(self.ids.get(unit.task, ""), ())


@dataclass(frozen=True)
class Row:
    """A row of the table.

    :param executions: how many executions and workflow runs the case has.
    :param submitted: submissions that White Rabbit has received.
    :param ended: executions whose result the task has returned, or the run that the callback has started.
    :param retried: tasks that needed more than one try.
    :param doubted: executions whose task ended with a doubt.
    :param twice: submissions beyond one for each execution.
    :param wrong: tasks that failed without a doubt, or returned something else.
    :param stuck: tasks that did not end.
    :param problems: what differs from the promise.
    :param hit: what the failure has hit, such as ``4 waits``; empty if it did not happen.
    """

    executions: int
    submitted: int
    ended: int
    retried: int
    doubted: int
    twice: int
    wrong: int
    stuck: int
    problems: tuple[str, ...]
    hit: str = ""


def row_of(units: Sequence[Unit], facts: Facts, hit: str = "nothing", problem: str = "") -> Row:
    """Compare what has become of the units of a case with the promise.

    :param hit: what the failure has hit.
    :param problem: a problem that is already known; empty if there is none.
    """
    ends: Counter[End] = Counter()
    problems = [problem] if problem else []
    mates: defaultdict[Place, list[Unit]] = defaultdict(list)
    for unit in units:
        mates[unit.task].append(unit)
    for unit in units:
        end, wrong = _end_of(unit, mates[unit.task], facts)
        ends[end] += 1
        problems += [f"{unit.name}: {text}" for text in (wrong, _wrong_submissions(unit, end, facts)) if text]
    mine = [facts.submissions[unit.name] for unit in units]
    tries = [task.try_number for task in facts.tasks.values()]
    tries += [run.try_number for unit in units if unit.way == "called" for run in facts.runs_of(unit)]
    return Row(
        executions=len(units),
        submitted=sum(mine),
        ended=ends["ended"],
        retried=sum(number > 1 for number in tries),
        doubted=ends["doubted"],
        twice=sum(max(0, count - 1) for count in mine),
        wrong=ends["wrong"],
        stuck=ends["stuck"],
        problems=tuple(problems),
        hit=hit,
    )


def _wrong_submissions(unit: Unit, end: End, facts: Facts) -> str:
    """Return what is wrong with the number of submissions of a unit."""
    count = facts.submissions[unit.name]
    if count > (0 if unit.way in SENSORS else 1):
        return f"{count} submissions"
    if unit.way in SENSORS:
        return ""
    record = next((found for found in facts.records.get(unit.task, ()) if found.key == unit.record_key), None)
    has_id = record is not None and not record.is_intent
    if not count and (has_id or end == "ended"):
        return "an id or a result without a submission"
    if count and record is None:
        return "a submission without a record"
    if end == "ended" and (record is None or record.is_intent or record.doubt):
        return f"a result, and the record of the submission is {record}"
    return ""


def _end_of(unit: Unit, mates: Sequence[Unit], facts: Facts) -> tuple[End, str]:
    """Return how the task of a unit has ended, and what is wrong with it.

    :param mates: all units of the task, in their order.
    """
    task = facts.tasks.get(unit.task, NO_TASK)
    if task.state not in FINISHED:
        return "stuck", f"the task is {task.state} in try {task.try_number}"
    if task.state != "success":
        return _failed(unit, task, facts)
    result = facts.results.get(unit.task)
    if unit.way == "called":
        return _end_of_run(unit, result, facts)
    if unit.way == "once" and isinstance(result, dict) and result.keys() == {mate.name for mate in mates}:
        result = result[unit.name]
    elif unit.way == "many" and isinstance(result, list) and len(result) == len(mates):
        result = _completed(result[unit.key]).get("output")
    elif unit.way == "workflow":
        outputs = [_completed(stage).get("output") for stage in _completed(result).get("runStages", ())]
        result = unit.result if outputs == [unit.result] * STAGES else outputs
    return ("ended", "") if result == unit.result else ("wrong", f"the task has returned {result}")


def _completed(record: Any) -> dict[str, Any]:
    """Return a record or a stage if it is completed, and an empty one otherwise."""
    is_completed = isinstance(record, dict) and record.get("status") == "COMPLETED" and not record.get("error")
    return record if is_completed else {}


def _failed(unit: Unit, task: Task, facts: Facts) -> tuple[End, str]:
    """Return how a task has ended that has failed: with a doubt about a submission that was in flight, or wrongly."""
    doubts = [record for record in facts.records.get(unit.task, ()) if record.doubt or record.is_intent]
    if not doubts or task.state != "failed":
        return "wrong", f"the task is {task.state} after {task.try_number} tries, without a doubt"
    in_flight = {other.record_key for other in facts.in_flight if other.task == unit.task}
    if unfounded := [record for record in doubts if record.key not in in_flight]:
        return "doubted", f"there is a doubt, and no submission was in flight: {unfounded}"
    return "doubted", ""


def _end_of_run(unit: Unit, execution_id: Any, facts: Facts) -> tuple[End, str]:
    """Return how the run has ended that the callback of a unit has started."""
    if execution_id != facts.ids.get(unit.task):
        return "wrong", f"the task has returned {execution_id} instead of its execution's id"
    runs = facts.runs_of(unit)
    if len(runs) > 1:
        return "wrong", f"the callback has started {len(runs)} runs"
    if not runs or runs[0].state not in FINISHED:
        return "stuck", f"the run of the callback of {execution_id} is {runs[0].state if runs else 'missing'}"
    if runs[0].state != "success" or runs[0].result != unit.result:
        return "wrong", f"the run of the callback is {runs[0].state} with the result {runs[0].result}"
    return "ended", ""
