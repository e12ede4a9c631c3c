"""The command lists the doubts of a DAG run, and settles them through Airflow's REST API."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.doubts.conftest import Command
from tests.doubts.fake_airflow import FakeAirflow, Instance

AT = "2026-11-24T09:08:07+00:00"
OPTIONS = {"there": "It is there", "earlier": "Take the earlier one", "submit": "Submit now", "stop": "Stop"}
CHOICES = {
    "uncertain": ("there", "submit", "stop"),
    "other request": ("earlier", "submit", "stop"),
    "gone": ("there", "submit", "stop"),
    "perhaps cleared": ("earlier", "submit", "stop"),
}
KNOWN = {"uncertain": None, "other request": "e-1", "gone": "e-1", "perhaps cleared": "e-1"}
"""The id in the record, by the kind of the doubt."""


def failed(kind: str = "uncertain", **entries: Any) -> Instance:
    """Return a task instance that failed with a doubt."""
    return Instance("failed", {"id": KNOWN[kind], "max_tries": 2, "at": AT, "doubt": kind, **entries})


def asking(kind: str = "uncertain") -> Instance:
    """Return a task instance that asks a person about a doubt."""
    question = {
        "subject": "White Rabbit: a question about component PAY",
        "options": [OPTIONS[choice] for choice in CHOICES[kind]],
        "params": {"execution_id": {"value": None}} if "there" in CHOICES[kind] else {},
    }
    return Instance("awaiting_input", failed(kind).record, question)


def filled(path: Path, *answers: dict[str, Any]) -> str:
    """Fill answers into the entries of a file in their order; return its path."""
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([entry | answer for entry, answer in zip(entries, answers, strict=True)]))
    return str(path)


def test_list(airflow: FakeAirflow, command: Command) -> None:
    """The command lists failed tasks and questions with a doubt by task and map index, and nothing else."""
    airflow.instances = {
        ("pay", 10): failed("gone"),
        ("pay", 2): asking("other request"),
        ("intent", -1): Instance("failed", {"id": None, "at": AT}),
        ("stopped", -1): failed(answer={"choice": "stop"}),
        ("done", -1): Instance("success", {"id": None}),
        ("known", -1): Instance("failed", {"id": "e-9", "at": AT}),
        ("written by hand", -1): Instance("failed", "e-9"),
        ("other operator", -1): Instance("failed"),
        ("other question", -1): Instance(
            "awaiting_input", None, {"subject": "White Rabbit: ok?", "options": ["Yes"], "params": {}}
        ),
    }
    status, out, _ = command()
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["task", "intent", "pay", "pay", "stopped", "4"]
    assert "pay      2          other request  waiting for an answer   e-1  2026-11-24T09:08:07+00:00" in out
    assert "stopped  -1         uncertain      failed, answered: stop  -    2026-11-24T09:08:07+00:00" in out
    assert airflow.writes == []


def test_output(airflow: FakeAirflow, command: Command, tmp_path: Path) -> None:
    """The command writes the doubts to a file without answers, and never overwrites a file."""
    airflow.instances = {("pay", 0): failed("gone", asked="ab" * 32), ("pay", 1): asking()}
    file = tmp_path / "doubts.json"
    assert command("--output", str(file))[0] == 0
    assert json.loads(file.read_text()) == [
        {"task_id": "pay", "map_index": 0, "kind": "gone", "id": "e-1", "at": AT, "request": "ab" * 4, "answer": None},
        {"task_id": "pay", "map_index": 1, "kind": "uncertain", "id": None, "at": AT, "request": None, "answer": None},
    ]
    status, _, err = command("--output", str(file))
    assert status == 1
    assert "Name a new file" in err


@pytest.mark.parametrize("kind", CHOICES)
def test_answers(airflow: FakeAirflow, command: Command, tmp_path: Path, kind: str) -> None:
    """An answer goes to the question that waits, or into the record of the failed task, which is then cleared."""
    first = CHOICES[kind][0]
    airflow.instances = {("ask", 0): asking(kind), ("pay", 0): failed(kind), ("pay", 1): failed(kind)}
    before = {**airflow.instances["pay", 0].record}
    file = tmp_path / "doubts.json"
    command("--output", str(file))
    asked_answer, answer = (
        {"answer": first, **({"id": target_id} if first == "there" else {})} for target_id in ("e-2", "e-3")
    )
    status, out, err = command("--answers", filled(file, asked_answer, answer, {"answer": None}))
    assert (status, out.splitlines()[-1], err) == (0, "2 settled, 1 skipped, 0 refused", "")
    params = {"execution_id": "e-2"} if first == "there" else {}
    (asked, stored, cleared) = airflow.writes
    assert asked == (
        "PATCH",
        "taskInstances/ask/0/hitlDetails",
        {"chosen_options": [OPTIONS[first]], "params_input": params},
    )
    assert stored[:2] == ("PUT", "taskInstances/pay/state-store/whiterabbit_answer")
    given = stored[2]["value"]
    assert given["for"] == {"id": before["id"], "at": AT, "asked": None}
    assert airflow.instances["pay", 0].record == before
    assert (given["choice"], given.get("id")) == (first, "e-3" if first == "there" else None)
    assert given["by"]
    assert given["at"]
    assert cleared[2]["task_ids"] == [["pay", 0]]


@pytest.mark.long
def test_hundreds(airflow: FakeAirflow, command: Command) -> None:
    """One command settles more doubts than the API returns at once, and reads no task instance without need."""
    for number in range(250):
        airflow.instances["pay", number] = failed()
        airflow.instances["ask", number] = asking()
        airflow.instances["done", number] = Instance("success", {"id": "e-1"})
    status, out, _ = command("--all", "submit")
    assert (status, out.splitlines()[-1]) == (0, "500 settled, 0 skipped, 0 refused")
    assert {instance.state for instance in airflow.instances.values()} == {"scheduled", "success"}
    assert not [path for _, path, _ in airflow.requests if "/done/" in path]
    assert len([path for _, path, _ in airflow.requests if path in ("taskInstances", "hitlDetails")]) == 8
    assert len([path for _, path, _ in airflow.requests if path == "clear"]) < 30


def test_tasks_downstream(airflow: FakeAirflow, command: Command) -> None:
    """Tasks that did not run because of a task upstream are cleared after the settled ones; failed ones are not."""
    airflow.instances = {
        ("pay", 0): failed("uncertain"),
        ("report", -1): Instance("upstream_failed"),
        ("other", -1): Instance("failed"),
    }
    assert command("--all", "submit")[0] == 0
    assert [body["task_ids"] for _, path, body in airflow.writes if path == "clear"] == [[["pay", 0]], [["report", -1]]]
    assert {place[0]: instance.state for place, instance in airflow.instances.items()} == {
        "pay": "scheduled",
        "report": "scheduled",
        "other": "failed",
    }


def test_restricted(airflow: FakeAirflow, command: Command) -> None:
    """``--task-id`` and ``--kind`` leave all other doubts alone."""
    airflow.instances = {("a", -1): failed("gone"), ("b", -1): failed("gone"), ("b.c", -1): failed()}
    assert command("--all", "submit", "--task-id", "b")[1].splitlines()[-1] == "1 settled, 0 skipped, 0 refused"
    assert command("--all", "submit", "--kind", "uncertain")[1].splitlines()[-1] == "1 settled, 0 skipped, 0 refused"
    assert airflow.instances["a", -1].state == "failed"


def test_stop(airflow: FakeAirflow, command: Command) -> None:
    """``stop`` ends a task that waits; it is stored for a failed task, so that ``--all`` does not start the task."""
    airflow.instances = {("ask", -1): asking(), ("pay", -1): failed()}
    assert command("--all", "stop")[1].splitlines()[-1] == "2 settled, 0 skipped, 0 refused"
    assert airflow.instances["pay", -1].state == "failed"
    assert "failed, answered: stop" in command()[1]
    assert command("--all", "submit")[1].splitlines()[-1] == "0 settled, 1 skipped, 0 refused"


def test_last_word(airflow: FakeAirflow, command: Command) -> None:
    """``stop`` replaces an earlier answer whose task could not be cleared."""
    airflow.instances = {("pay", 0): failed()}
    airflow.before = lambda method, path: 503 if path == "clear" else None
    assert command("--all", "submit")[0] == 1
    airflow.before = lambda method, path: None
    assert command("--all", "stop")[0] == 0
    assert airflow.instances["pay", 0].answer["choice"] == "stop"


@pytest.mark.parametrize(
    "record",
    [
        failed(answer={"choice": "stop", "by": "ada", "at": AT}).record,
        failed(id="e-7", stored=None).record,
    ],
    ids=["stopped in the UI", "id filled in by hand"],
)
def test_word_of_a_person(airflow: FakeAirflow, command: Command, record: Any) -> None:
    """``--all`` leaves alone a task that a person has stopped, or whose id a person has filled in."""
    airflow.instances = {("pay", -1): Instance("failed", record)}
    assert command("--all", "submit")[1].splitlines()[-1] == "0 settled, 1 skipped, 0 refused"
    assert airflow.writes == []


def test_late_answer(airflow: FakeAirflow, command: Command) -> None:
    """An answer that arrives after another person's answer started the task does not touch what the task submitted."""
    airflow.instances = {("pay", 0): failed()}
    submitted = {"id": "e-2", "stored": "e-2", "at": "2026-11-24T11:00:00+00:00", "settled": {"choice": "submit"}}

    def before(method: str, path: str) -> None:
        if method == "PUT":
            airflow.instances["pay", 0] = Instance("deferred", submitted)

    airflow.before = before
    assert command("--all", "submit")[0] == 1
    assert airflow.instances["pay", 0].record == submitted


def test_interrupted(airflow: FakeAirflow, command: Command) -> None:
    """After an interruption before the last step, the same command clears the tasks downstream."""
    airflow.instances = {("pay", 0): failed(), ("report", -1): Instance("upstream_failed")}
    airflow.before = lambda method, path: (
        502 if path == "taskInstances" and airflow.instances["pay", 0].state == "scheduled" else None
    )
    status, out, err = command("--all", "submit")
    assert (status, out.splitlines()[-1]) == (1, "1 settled, 0 skipped, 0 refused")
    assert "Airflow answered 502" in err
    airflow.before = lambda method, path: None
    assert command("--all", "submit")[0] == 0
    assert airflow.instances["report", -1].state == "scheduled"


def test_downstream_has_submitted(airflow: FakeAirflow, command: Command) -> None:
    """A task downstream that has submitted is not cleared, since a clear would tell it to submit anew."""
    airflow.instances = {("buy", -1): failed(), ("pay", -1): Instance("upstream_failed", {"id": "e-1", "at": AT})}
    _, _, err = command("--all", "submit")
    assert "not cleared: pay has submitted before" in err
    assert airflow.instances["pay", -1].state == "upstream_failed"


def test_moving_pages(airflow: FakeAirflow, command: Command) -> None:
    """Doubts that come or go while the command lists the others neither hide nor double one."""
    airflow.instances = {("pay", number): failed() for number in range(150)}
    pages: list[str] = []

    def before(method: str, path: str) -> None:
        pages.extend([path] if path == "taskInstances" else [])
        if len(pages) == 2:
            for number in range(10):
                airflow.instances["pay", number].state = "running"

    airflow.before = before
    listed = [int(line.split()[1]) for line in command()[1].splitlines()[1:-1]]
    assert listed == list(range(150))  # the first ten were listed before they left


def test_stopped_while_listing(airflow: FakeAirflow, command: Command) -> None:
    """A question that is stopped between the two lists is one doubt, that of a failed task."""
    airflow.instances = {("pay", 0): asking()}

    def before(method: str, path: str) -> None:
        if path == "taskInstances":
            airflow.instances["pay", 0] = failed(answer={"choice": "stop"})

    airflow.before = before
    assert command()[1].splitlines()[1:] == [
        "pay   0          uncertain  failed, answered: stop  -   2026-11-24T09:08:07+00:00",
        "1 doubt",
    ]


def test_terminal_without_unicode(airflow: FakeAirflow, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters that the terminal's encoding lacks are printed as escapes."""
    output = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", output)
    airflow.instances = {("größe", -1): failed()}
    assert command()[0] == 0
    output.seek(0)
    assert r"gr\xf6\xdfe" in output.read()


def test_any_characters(airflow: FakeAirflow, command: Command) -> None:
    """Ids may hold any character that Airflow allows; text is printed without control characters."""
    airflow.dag_id, airflow.run_id = "zahlung.größe", "manual__10:00+00:00 a&b?c#d%2F"
    airflow.instances = {("gruppe.größe", -1): failed(id="", at="\x1b[31m\u202e\ud800")}
    status, out, _ = command()
    assert status == 0
    assert r"\x1b[31m\u202e\ud800" in out
    summary = "1 settled, 0 skipped, 0 refused"
    assert command("--all", "submit")[1].splitlines() == ["settled: gruppe.größe: submit", summary]


@pytest.mark.parametrize("run_id", ["..", ".", "", "~"])
def test_ids_that_are_no_ids(airflow: FakeAirflow, command: Command, run_id: str) -> None:
    """An id that means another path, or all DAG runs, is refused."""
    airflow.run_id = run_id
    status, _, err = command()
    assert status == 1
    assert "can't address" in err
    assert airflow.requests == []


def test_empty_task_id(airflow: FakeAirflow, command: Command) -> None:
    """An empty ``--task-id``, as of an unset variable, is refused: it would mean all tasks."""
    airflow.instances = {("pay", 0): failed()}
    status, _, err = command("--all", "submit", "--task-id", "")
    assert (status, airflow.writes) == (1, [])
    assert "empty" in err


def test_one_thing_at_a_time(airflow: FakeAirflow, command: Command, tmp_path: Path) -> None:
    """Options that contradict each other are refused before anything is sent."""
    file = str(tmp_path / "doubts.json")
    for options in (("--all", "stop", "--output", file), ("--answers", file, "--kind", "gone")):
        status, _, err = command(*options)
        assert status == 1
        assert err.startswith("Give ")
    assert airflow.requests == []
