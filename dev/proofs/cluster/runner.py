"""Run the cases one after the other, on one cluster."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from dev.harness.airflow_api import FINISHED
from dev.proofs.cluster.cases import CASES, Case
from dev.proofs.cluster.outcome import Facts, Row, row_of
from dev.proofs.cluster.plan import MIX, SENSORS, Unit, units
from dev.proofs.cluster.testbed import Testbed, cluster

EXECUTIONS = 300
PATIENCE = 90.0
LONGEST_CASE = 420.0
"""Seconds after which the tasks of a case that have not ended count as stuck, also if they change all the time."""

AFTERWARDS = 30.0
"""Seconds after the last case in which nothing may be submitted any more, and no callback may start another run."""

MOMENT = (1 / 6, 1 / 2)
"""The share of its submissions after which the part of a case fails, at least and at most."""


@dataclass(frozen=True)
class Options:
    """What a run is like.

    :param executions: how many executions and workflow runs all cases have together.
    :param patience: seconds without any change of a task after which the tasks of a case count as stuck.
    :param only: names of the cases to run; all by default.
    """

    seed: int
    executions: int = EXECUTIONS
    patience: float = PATIENCE
    only: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """What happened.

    :param rows: the rows of the table by their cases, as they are some time after the last case.
    :param late: submissions that arrived after the end of their case, by the unit's name.
    :param lost: submissions that White Rabbit had received at the end of their case, and does not know any more.
    :param unknown_runs: ids of executions that the proof does not know, and whose callbacks have started runs.
    :param redelivered: tasks that Celery has delivered once more, in all cases.
    :param restarts: components that exited by themselves and were started again.
    :param log: the ends of the logs, if something differs from the promise.
    """

    rows: dict[Case, Row] = field(default_factory=dict)
    late: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    unknown_runs: Sequence[str] = ()
    redelivered: int = 0
    restarts: Counter[str] = field(default_factory=Counter)
    log: str = ""

    @property
    def problems(self) -> list[str]:
        """What differs from the promise."""
        late = [f"{name}: {count} submissions after the end of its case" for name, count in self.late.items()]
        late += [f"{name}: {count} submissions are not known any more" for name, count in self.lost.items()]
        late += [f"a callback of the execution {found!r} has started a run" for found in self.unknown_runs]
        late += [] if self.rows else ["no case has run"]
        return [*(problem for row in self.rows.values() for problem in row.problems), *late]

    def missing(self, options: Options) -> list[str]:
        """Return what keeps the report from being one of all cases with all ways to submit."""
        missing = [case.name for case in CASES if case not in self.rows]
        few = options.executions < len(CASES) * len(MIX)
        return [*missing, *(["some ways to submit: there are too few executions"] if few else [])]


def run_cases(options: Options, on_line: Callable[[str], object], on_row: Callable[[Case, Row], object]) -> Report:
    """Run the cases and return what happened.

    :param on_line: is called with a line for each thing that happens.
    :param on_row: is called with each row when its case has ended.
    """
    plan = {"seed": options.seed, "cases": len(CASES), "executions": options.executions}
    ran: list[_Ran] = []
    submitted: Counter[str] = Counter()
    with cluster(options.seed, plan) as bed:
        on_line(f"the cluster is well; its files are in {bed.airflow.home}")
        for number, (case, found) in enumerate(zip(CASES, units(**plan), strict=True)):
            if options.only and case.name not in options.only:
                continue
            share = Random(f"{options.seed} {number}").uniform(*MOMENT)  # noqa: S311 (nothing secret)
            hit, problem = _run_case(bed, case, found, share, options, on_line)
            ran.append(_Ran(case, found, frozenset(bed.in_flight), hit, problem))
            facts = bed.until(bed.facts, "the database to answer")
            submitted += Counter({unit.name: facts.submissions[unit.name] for unit in found})
            on_row(case, ran[-1].row(facts))
        on_line(f"looking whether anything happens in {AFTERWARDS:g} s after the last case")
        time.sleep(AFTERWARDS)
        rows = {one.case: one.row(bed.facts_of(one.units, one.in_flight)) for one in ran}
        now = bed.submissions()
        report = Report(rows, now - submitted, submitted - now, bed.unknown_runs(), bed.redelivered(), bed.restarts)
        return replace(report, log=bed.airflow.explain()) if report.problems else report


@dataclass(frozen=True)
class _Ran:
    """A case that has run; `in_flight`, `hit` and `problem` are as in `row_of` and in its `Facts`."""

    case: Case
    units: list[Unit]
    in_flight: frozenset[Unit]
    hit: str
    problem: str

    def row(self, facts: Facts) -> Row:
        return row_of(self.units, facts, self.hit, self.problem)


def _run_case(
    bed: Testbed, case: Case, found: list[Unit], share: float, options: Options, on_line: Callable[[str], object]
) -> tuple[str, str]:
    """Start the executions of a case, let a part fail meanwhile, and wait for all ends.

    :param share: the share of the submissions that have arrived when the part fails.
    :return: what the failure has hit, and what has kept the part from failing or returning; one of both is empty.
    """
    start = time.monotonic()

    def say(text: str) -> None:
        on_line(f"{case.name} {time.monotonic() - start:5.1f} s: {text}")

    bed.wait_until_well()
    bed.start(found)
    say("the run has started")
    wanted = [unit.name for unit in found if unit.way not in SENSORS]

    def arrived() -> int:
        submissions = bed.submissions()
        return sum(submissions[name] > 0 for name in wanted)

    hit = problem = ""
    try:
        bed.until(lambda: arrived() >= share * len(wanted), "submissions to arrive")
        say(f"{arrived()} of {len(wanted)} submissions have arrived")
        hit = case.fail(bed)
        say(f"the failure is over; it hit {hit}, and {len(bed.in_flight)} submissions may be doubted")
    except (TimeoutError, RuntimeError) as error:
        problem = f"{case.title}: {error}"
    _wait_for_ends(bed, found, options.patience, start + LONGEST_CASE)
    say("all tasks have ended, or are stuck")
    return hit, problem


def _wait_for_ends(bed: Testbed, found: list[Unit], patience: float, until: float) -> None:
    """Wait until all tasks and all runs of callbacks have ended, or nothing has changed for `patience` seconds.

    :param until: when to give up in any case, by the monotonic clock.
    """
    latest: object = None
    changed_at = time.monotonic()
    while time.monotonic() < min(changed_at + patience, until):
        facts = bed.until(bed.facts, "the database to answer")
        runs = {unit: facts.runs_of(unit) for unit in found if unit.way == "called"}
        states = [*facts.tasks.values(), *runs.values()]
        if latest != states:
            latest, changed_at = states, time.monotonic()
        tasks_ended = bool(facts.tasks) and all(task.state in FINISHED for task in facts.tasks.values())
        if tasks_ended and all(_has_ended(facts, unit) for unit in runs):
            return
        time.sleep(1)


def _has_ended(facts: Facts, unit: Unit) -> bool:
    """Whether the run of a callback has ended, or will never start because the task has failed."""
    runs = facts.runs_of(unit)
    if not runs:
        return facts.tasks[unit.task].state != "success"
    return all(run.state in FINISHED for run in runs)
