"""The command lists and settles the doubts of a task that submits under keys, with `WhiteRabbitHook.once`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.doubts.conftest import Command
from tests.doubts.fake_airflow import FakeAirflow, Instance
from tests.hooks.tries import Task, paid, pay, receipts
from tests.versions import needs_store

AT = "2026-11-24T09:08:07+00:00"
PLACE = ("pay", -1)


def record(identity: str | None = None, **entries: Any) -> dict[str, Any]:
    """Return a record of a submission."""
    return {"id": identity, "stored": identity, "max_tries": 2, "at": AT, **entries}


@pytest.fixture
def pages() -> dict[str, Any]:
    """Return the pages of a task that has doubts about two of its keys, and none about others."""
    return {
        "whiterabbit_once": {"pages": 2},
        "whiterabbit_once_1": {"a": record("e-1"), "b": record(doubt="uncertain"), "by hand": "e-2"},
        "whiterabbit_once_2": {"c/é": record("e-3", doubt="other request", asked="ab" * 32)},
        "a key of the user": {"b": record()},
    }


def test_list(airflow: FakeAirflow, command: Command, pages: dict[str, Any]) -> None:
    """The list has a column of keys, if there are any."""
    airflow.instances = {PLACE: Instance("failed", others=pages), ("other", -1): Instance("failed", record())}
    status, out, _ = command()
    assert status == 0
    lines = [line.split("  ") for line in out.splitlines()]
    assert [[cell.strip() for cell in line if cell][:4] for line in lines[:-1]] == [
        ["task", "map index", "key", "kind"],
        ["other", "-1", "-", "uncertain"],
        ["pay", "-1", "b", "uncertain"],
        ["pay", "-1", "c/é", "other request"],
    ]


def test_answers(airflow: FakeAirflow, command: Command, pages: dict[str, Any], tmp_path: Path) -> None:
    """Each key gets its own answer, and the task is cleared once."""
    airflow.instances = {PLACE: Instance("failed", others=pages)}
    file = tmp_path / "doubts.json"
    command("--output", str(file))
    entries = json.loads(file.read_text())
    assert [(entry["key"], entry["kind"], entry["id"]) for entry in entries] == [
        ("b", "uncertain", None),
        ("c/é", "other request", "e-3"),
    ]
    answers = [{"answer": "there", "id": "e-9"}, {"answer": "earlier"}]
    file.write_text(json.dumps([entry | answer for entry, answer in zip(entries, answers, strict=True)]))
    status, out, err = command("--answers", str(file))
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "settled: pay, key 'b': there",
        "settled: pay, key 'c/é': earlier",
        "2 settled, 0 skipped, 0 refused",
    ]
    first, second, clear = airflow.writes
    assert first[1] != second[1]
    assert first[2]["value"]["for"] == {"id": None, "at": AT, "asked": None}
    assert clear[2]["task_ids"] == [["pay", -1]]


def test_changed_meanwhile(airflow: FakeAirflow, command: Command, pages: dict[str, Any]) -> None:
    """An answer is refused if the record under its key has changed, and the others are sent."""
    airflow.instances = {PLACE: Instance("failed", others=pages)}
    reads: list[str] = []

    def before(method: str, path: str) -> None:
        reads.append(path)
        if sum(read.endswith("/state-store") for read in reads) == 2:
            pages["whiterabbit_once_1"]["b"] = record("e-5")

    airflow.before = before
    status, out, err = command("--all", "submit")
    assert status == 1
    assert "refused: pay, key 'b': the record of the submission has changed" in err
    assert out.splitlines()[-1] == "1 settled, 0 skipped, 1 refused"


@pytest.mark.parametrize(("owner", "target_id"), [("a", "e-1"), ("by hand", "e-2"), ("c/é", "e-3")])
def test_id_of_another_key(
    airflow: FakeAirflow, command: Command, pages: dict[str, Any], tmp_path: Path, owner: str, target_id: str
) -> None:
    """The id of what was submitted under another key of the task is refused, and the task is not cleared."""
    airflow.instances = {PLACE: Instance("failed", others=pages)}
    file = tmp_path / "doubts.json"
    command("--output", str(file), "--kind", "uncertain")
    (entry,) = json.loads(file.read_text())
    file.write_text(json.dumps([entry | {"answer": "there", "id": target_id}]))
    status, out, err = command("--answers", str(file))
    assert (status, out) == (1, "0 settled, 0 skipped, 1 refused\n")
    assert f"refused: pay, key 'b': the id {target_id} is the one of the key {owner!r} of this task" in err
    assert airflow.writes == []


def test_one_batch(airflow: FakeAirflow, command: Command) -> None:
    """All answers of a task are stored before it is cleared, however many they are."""
    for name in ("a", "b"):
        pages = {f"whiterabbit_once_{page}": {f"{page} {n}": record() for n in range(20)} for page in range(1, 5)}
        airflow.instances[name, -1] = Instance("failed", others=pages)
    assert command("--all", "submit")[1].splitlines()[-1] == "160 settled, 0 skipped, 0 refused"
    methods = [method for method, _, _ in airflow.writes]
    assert methods == ["PUT"] * 80 + ["POST"] + ["PUT"] * 80 + ["POST"]


def test_downstream_has_submitted(airflow: FakeAirflow, command: Command, pages: dict[str, Any]) -> None:
    """A task that waits for its retry, and has submitted under keys, is not cleared."""
    airflow.instances = {("late", -1): Instance("upstream_failed", others=pages)}
    _, _, err = command("--all", "submit")
    assert "late has submitted before" in err
    assert airflow.writes == []


@needs_store
@pytest.mark.parametrize("choice", ["there", "submit", "stop"])
def test_the_whole_way(
    airflow: FakeAirflow,
    command: Command,
    tmp_path: Path,
    whiterabbit_emulator: Emulator,
    emulator_connection: None,
    choice: str,
) -> None:
    """A task with a lost answer is settled by command; its next try pays nobody twice, although it was cleared."""
    wr, task, file = whiterabbit_emulator, Task(), tmp_path / "doubts.json"
    wr.script("PAY", output=lambda inputs, config: {"paid": inputs["to"]})
    wr.fault(effects.Reset("answer" if choice == "there" else "request"), kind="submit", skip=1)
    orders = ("alice", "bob", "carol")
    with pytest.raises(AirflowFailException):
        task.run(pay(*orders))
    instance = Instance("failed", others={key: json.loads(value) for key, value in task.store.values.items()})
    airflow.instances = {PLACE: instance}
    command("--output", str(file))
    (entry,) = json.loads(file.read_text())
    named = {"id": wr.executions[1]["id"]} if choice == "there" else {}
    file.write_text(json.dumps([entry | {"answer": choice} | named]))
    assert command("--answers", str(file))[1].endswith("1 settled, 0 skipped, 0 refused\n")
    task.store.values |= {key: json.dumps(value) for key, value in instance.others.items()}
    task.clear()
    if choice == "stop":
        with pytest.raises(AirflowFailException, match="Doubt: uncertain"):
            task.run(pay(*orders))
        return
    for _ in range(2):  # the answer counts once
        assert task.run(pay(*orders)) == receipts(*orders)
    assert sorted(record["id"] for record in task.store.records.values()) == sorted(
        each["id"] for each in wr.executions
    )
    assert paid(wr) == ["alice", *["bob"] * (1 if choice == "there" else 2), "carol"]
