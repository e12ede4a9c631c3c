"""The proof `dev.proofs.cluster` finds what differs from its promise; `make cluster` runs it on a cluster."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from dev.proofs.cluster.cases import CASES
from dev.proofs.cluster.ledger import Called, Record, Task
from dev.proofs.cluster.outcome import Facts, Row, row_of
from dev.proofs.cluster.plan import KEYED, KEYS, MIX, SENSORS, Unit, names_by_task, units
from dev.proofs.cluster.runner import Options, Report
from dev.proofs.cluster.table import BEGIN, END, PAGE, markdown

COMPONENT = Unit(0, "component", 0, 0, 5.0)
CALLED = Unit(0, "called", 0, 0, 5.0)
SENSOR = Unit(0, "triggerer", 0, 0, 5.0)
WORKFLOW = Unit(0, "workflow", 0, 0, 5.0)
ONCE = tuple(Unit(0, "once", 0, key, 5.0) for key in range(2))
MANY = tuple(Unit(0, "many", 0, key, 5.0) for key in range(2))


def record(output: Any, status: str = "COMPLETED", error: Any = None) -> dict[str, Any]:
    """Return the record of an execution, or a stage."""
    return {"status": status, "output": output, "error": error}


def run_record(*outputs: Any, status: str = "COMPLETED", stage_status: str = "COMPLETED") -> dict[str, Any]:
    """Return the record of a workflow run whose stages have these outputs."""
    return {"status": status, "runStages": [record(output, stage_status) for output in outputs]}


ALL = (COMPONENT, CALLED, SENSOR, WORKFLOW, *ONCE, *MANY)
SUCCESS = Task("success", 1, 1)
FACTS = Facts(
    submissions=Counter({unit.name: 1 for unit in ALL if unit is not SENSOR}),
    in_flight=frozenset(),
    tasks={unit.task: SUCCESS for unit in ALL},
    results={
        COMPONENT.task: COMPONENT.result,
        CALLED.task: "execution-1",
        SENSOR.task: SENSOR.result,
        WORKFLOW.task: run_record(WORKFLOW.result, WORKFLOW.result),
        ONCE[0].task: {unit.name: unit.result for unit in ONCE},
        MANY[0].task: [record(unit.result) for unit in MANY],
    },
    records={unit.task: [Record("", False, None)] for unit in (COMPONENT, CALLED, WORKFLOW)}
    | {units[0].task: [Record(unit.record_key, False, None) for unit in units] for units in (ONCE, MANY)},
    ids={CALLED.task: "execution-1"},
    called={"execution-1": [Called("success", 1, CALLED.result)]},
)


def row(**changes: Any) -> Row:
    """Return the row of all units with some facts changed."""
    return row_of(ALL, replace(FACTS, **changes))


def numbers(row: Row) -> tuple[int, ...]:
    """Return how many executions ended and were doubted, twice, wrong and stuck, and how many problems there are."""
    return row.ended, row.doubted, row.twice, row.wrong, row.stuck, len(row.problems)


def test_all_is_well() -> None:
    """Results of their own for all are no problem, whatever was in flight."""
    assert numbers(row(in_flight=frozenset(ALL))) == (8, 0, 0, 0, 0, 0)
    assert (row().executions, row().submitted, row().retried) == (8, 7, 0)


@pytest.mark.parametrize("unit", ALL, ids=lambda unit: unit.name)
def test_twice(unit: Unit) -> None:
    """A second submission is a problem, and for a sensor, which submits nothing, the first one."""
    found = row(submissions=FACTS.submissions + Counter([unit.name]))
    assert len(found.problems) == 1
    assert found.twice == (unit is not SENSOR)


@pytest.mark.parametrize("unit", [COMPONENT, CALLED, WORKFLOW, *ONCE, *MANY], ids=lambda unit: unit.name)
def test_a_result_without_a_submission(unit: Unit) -> None:
    """A result of an operator that has submitted nothing is a problem."""
    assert len(row(submissions=FACTS.submissions - Counter([unit.name])).problems) == 1


@pytest.mark.parametrize("unit", [COMPONENT, CALLED, SENSOR, WORKFLOW], ids=lambda unit: unit.name)
@pytest.mark.parametrize("result", [None, {"receipt": "receipt of another unit"}, {"runStages": []}])
def test_a_wrong_result(unit: Unit, result: Any) -> None:
    """A task that has succeeded with another result, or with none, is wrong."""
    assert numbers(row(results={**FACTS.results, unit.task: result})) == (7, 0, 0, 1, 0, 1)


def test_a_wrong_result_under_a_key() -> None:
    """The result of each key is compared with that of its own execution."""
    swapped = {ONCE[0].name: ONCE[1].result, ONCE[1].name: ONCE[1].result}
    assert numbers(row(results={**FACTS.results, ONCE[0].task: swapped})) == (7, 0, 0, 1, 0, 1)


@pytest.mark.parametrize(
    "result",
    [
        run_record(WORKFLOW.result),
        run_record(*[WORKFLOW.result] * 3),
        run_record(WORKFLOW.result, WORKFLOW.result, status="FAILED"),
        run_record(WORKFLOW.result, WORKFLOW.result, stage_status="FAILED"),
    ],
)
def test_a_wrong_workflow_run(result: Any) -> None:
    """A run with another number of stages, or that is not completed, is wrong."""
    assert numbers(row(results={**FACTS.results, WORKFLOW.task: result})) == (7, 0, 0, 1, 0, 1)


def test_another_key() -> None:
    """A task that returns the result of a key that is not its own is wrong."""
    results = {unit.name: unit.result for unit in ONCE} | {"case-0-once-9-0": COMPONENT.result}
    assert numbers(row(results={**FACTS.results, ONCE[0].task: results})) == (6, 0, 0, 2, 0, 2)


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        [record(unit.result) for unit in reversed(MANY)],
        [{}, {}],
        [record(unit.result, "FAILED") for unit in MANY],
        [record(unit.result, error={"message": "no"}) for unit in MANY],
        [record(unit.result) for unit in (*MANY, COMPONENT)],
    ],
)
def test_a_wrong_result_of_many(result: Any) -> None:
    """The results of many inputs are compared in the order of the inputs, with their number and their statuses."""
    assert numbers(row(results={**FACTS.results, MANY[0].task: result})) == (6, 0, 0, 2, 0, 2)


@pytest.mark.parametrize("state", ["deferred", "queued", None])
def test_a_stuck_task(state: str | None) -> None:
    """A task that has not ended is stuck, and so is one that does not exist."""
    tasks = {**FACTS.tasks, SENSOR.task: Task(state, 1, None)}
    assert numbers(row(tasks=tasks)) == (7, 0, 0, 0, 1, 1)
    del tasks[SENSOR.task]
    assert numbers(row(tasks=tasks)) == (7, 0, 0, 0, 1, 1)


def failed(unit: Unit, *records: Record, in_flight: frozenset[Unit] = frozenset()) -> Row:
    """Return the row if the task of a unit has failed in its second try, and its store holds these records."""
    tasks = {**FACTS.tasks, unit.task: Task("failed", 2, 1)}
    return row(tasks=tasks, records={**FACTS.records, unit.task: records}, in_flight=in_flight)


def test_a_failure_without_a_doubt() -> None:
    """A task that has failed although its submission is known is wrong."""
    assert numbers(failed(COMPONENT, Record("", False, None))) == (7, 0, 0, 1, 0, 1)
    assert numbers(failed(SENSOR)) == (7, 0, 0, 1, 0, 1)
    assert failed(SENSOR).retried == 1


@pytest.mark.parametrize("record", [Record("", True, None), Record("", True, "uncertain"), Record("", False, "gone")])
def test_a_doubt(record: Record) -> None:
    """A doubt is allowed only about a submission that was in flight when a part failed."""
    assert numbers(failed(COMPONENT, record, in_flight=frozenset({COMPONENT}))) == (7, 1, 0, 0, 0, 0)
    assert numbers(failed(COMPONENT, record, in_flight=frozenset({CALLED}))) == (7, 1, 0, 0, 0, 1)


@pytest.mark.parametrize("state", ["skipped", "removed", "upstream_failed"])
def test_no_doubt(state: str) -> None:
    """Only a task that has failed has ended with a doubt."""
    found = row(
        tasks={**FACTS.tasks, COMPONENT.task: Task(state, 2, 1)},
        records={**FACTS.records, COMPONENT.task: [Record("", True, None)]},
        in_flight=frozenset({COMPONENT}),
    )
    assert numbers(found) == (7, 0, 0, 1, 0, 1)


@pytest.mark.parametrize("unit", [COMPONENT, CALLED, WORKFLOW, ONCE[1], MANY[1]], ids=lambda unit: unit.name)
@pytest.mark.parametrize("left", [None, (True, None), (True, "uncertain"), (False, "gone")])
def test_the_record_of_a_success(unit: Unit, left: tuple[bool, str | None] | None) -> None:
    """A task that has succeeded has the id of its submission in its record, and no doubt."""
    kept = [each for each in FACTS.records[unit.task] if each.key != unit.record_key]
    mine = [] if left is None else [Record(unit.record_key, *left)]
    assert len(row(records={**FACTS.records, unit.task: [*kept, *mine]}).problems) == 1


@pytest.mark.parametrize("units", [ONCE, MANY], ids=["once", "many"])
def test_the_others_of_a_doubted_task(units: tuple[Unit, ...]) -> None:
    """Of the other keys of a task with a doubt, what has an id was submitted, and what was submitted has a record."""
    doubt = Record(units[1].record_key, True, None)
    known = Record(units[0].record_key, False, None)
    changes = {"tasks": {**FACTS.tasks, units[0].task: Task("failed", 2, 1)}, "in_flight": frozenset({units[1]})}
    without = FACTS.submissions - Counter([units[0].name])
    for records, submissions, problems in (
        ((known, doubt), FACTS.submissions, 0),
        ((doubt,), without, 0),
        ((known, doubt), without, 1),
        ((doubt,), FACTS.submissions, 1),
    ):
        found = row(records={**FACTS.records, units[0].task: records}, submissions=submissions, **changes)
        assert len(found.problems) == problems


@pytest.mark.parametrize("units", [ONCE, MANY], ids=["once", "many"])
def test_a_doubt_under_a_key(units: tuple[Unit, ...]) -> None:
    """A doubt under a key ends the task; it is allowed if the submission under this key was in flight."""
    records = tuple(Record(unit.record_key, unit is units[1], None) for unit in units)
    assert numbers(failed(units[0], *records, in_flight=frozenset({units[1]}))) == (6, 2, 0, 0, 0, 0)
    assert numbers(failed(units[0], *records, in_flight=frozenset({units[0]}))) == (6, 2, 0, 0, 0, 2)


@pytest.mark.parametrize(
    ("runs", "end"),
    [
        ([], (7, 0, 0, 0, 1, 1)),
        ([Called("running", 1, None)], (7, 0, 0, 0, 1, 1)),
        ([Called("success", 1, SENSOR.result)], (7, 0, 0, 1, 0, 1)),
        ([Called("failed", 6, None)], (7, 0, 0, 1, 0, 1)),
        ([Called("success", 1, CALLED.result)] * 2, (7, 0, 0, 1, 0, 1)),
        ([Called("success", 2, CALLED.result)], (8, 0, 0, 0, 0, 0)),
    ],
)
def test_the_run_of_a_callback(runs: list[Called], end: tuple[int, ...]) -> None:
    """A callback starts one run, which succeeds with the output of its execution."""
    assert numbers(row(called={"execution-1": runs})) == end


def test_late_submissions() -> None:
    """A submission after the end of its case is a problem."""
    report = Report({CASES[0]: row()}, late=Counter([COMPONENT.name]))
    assert report.problems == [f"{COMPONENT.name}: 1 submissions after the end of its case"]
    assert not Report({CASES[0]: row()}).problems


def test_missing_evidence() -> None:
    """A run without cases, a journal that has become shorter and runs of unknown executions are problems."""
    assert Report().problems == ["no case has run"]
    rows = {case: row() for case in CASES}
    assert Report(rows, lost=Counter([COMPONENT.name])).problems
    assert Report(rows, unknown_runs=[""]).problems
    assert not Report(rows).missing(Options(7))
    assert Report(rows).missing(Options(7, executions=8))
    assert Report({CASES[0]: row()}).missing(Options(7)) == [case.name for case in CASES[1:]]


class Bed:
    """A cluster in which a failure hits nothing: it notes what is done to it, and answers as told."""

    def __init__(self, ages: list[dict[int, float]], held: dict[int, int]) -> None:
        self.ages, self.held, self.done = ages, held, list[str]()
        self.ledger = self.airflow = self

    def until(self, condition: Any, what: str) -> Any:
        """Ask twice, instead of waiting."""
        found = condition() or condition()
        if not found:
            raise TimeoutError(what)
        return found

    def heartbeats(self, _job_type: str) -> dict[int, float]:
        """Return the next heartbeats."""
        return self.ages.pop(0) if len(self.ages) > 1 else self.ages[0]

    def waits(self) -> dict[int, int]:
        """Return how many waits each triggerer has."""
        return self.held

    def count(self, _state: str) -> int:
        """Return that enough tasks are deferred."""
        return 9

    def kill(self, name: str) -> set[int]:
        """Note the kill."""
        self.done.append(f"kill {name}")
        return {1}

    def start(self, name: str) -> None:
        """Note the start."""
        self.done.append(f"start {name}")


FRESH, GONE = {1: 0.5, 2: 0.5}, {1: 9.0, 2: 0.5}


def kill_triggerer(bed: Bed) -> str:
    """Run the case with a made-up cluster."""
    return next(case for case in CASES if case.name == "triggerer").fail(bed)  # type: ignore[arg-type]


def test_the_killed_triggerer_had_waits() -> None:
    """The case tells how many waits the killed triggerer had."""
    bed = Bed([FRESH, FRESH, GONE], {1: 3, 2: 5})
    assert kill_triggerer(bed) == "3 waits"
    assert bed.done == ["kill triggerer", "start triggerer"]


def test_the_first_triggerer_had_no_waits() -> None:
    """The second triggerer is killed if the first one had no waits."""
    bed = Bed([FRESH, GONE, {2: 0.5, 3: 0.5}, {2: 9.0, 3: 0.5}], {2: 8})
    assert kill_triggerer(bed) == "8 waits"
    assert bed.done == ["kill triggerer", "start triggerer", "kill triggerer-2", "start triggerer-2"]


def test_no_triggerer_had_waits() -> None:
    """A failure that hits nothing, or that did not happen, is an error."""
    with pytest.raises(TimeoutError, match="had waits"):
        kill_triggerer(Bed([FRESH, GONE, {2: 0.5, 3: 0.5}, {2: 9.0, 3: 0.5}], {}))
    with pytest.raises(TimeoutError, match="heartbeats of triggerer to end"):
        kill_triggerer(Bed([FRESH], {1: 3, 2: 5}))


def test_page() -> None:
    """The page has a place for the table, whose last row has the sums."""
    assert re.search(f"{BEGIN}.*{END}", PAGE.read_text(), flags=re.DOTALL)
    lines = markdown(Options(seed=7), Report({case: row() for case in CASES[:2]})).splitlines()
    assert lines[2:5] == [
        f"| {CASES[0].title} | nothing | 8 | 7 | 8 | 0 | 0 | 0 | 0 | 0 |",
        f"| {CASES[1].title} | nothing | 8 | 7 | 8 | 0 | 0 | 0 | 0 | 0 |",
        "| **together** | | 16 | 14 | 16 | 0 | 0 | 0 | 0 | 0 |",
    ]


def test_plan() -> None:
    """A seed gives a plan again, all cases together have all executions, and each case goes all ways."""
    plan = units(7, 8, 300)
    assert plan == units(7, 8, 300) != units(8, 8, 300)
    assert [len(found) for found in plan] == [37, 38] * 4
    assert all({unit.way for unit in found} == set(MIX) for found in plan)
    assert SENSORS.issubset(MIX)
    assert len({unit.name for found in plan for unit in found}) == 300
    for found, way in product(plan, KEYED):
        by_task = names_by_task(found, way)
        assert [name for names in by_task for name in names] == [unit.name for unit in found if unit.way == way]
        assert all(len(names) == KEYS for names in by_task[:-1])
        for number, names in enumerate(by_task):
            assert {unit.task for unit in found if unit.name in names} == {(way, number)}
