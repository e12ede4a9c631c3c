"""Wrong answers are refused before anything is sent; an answer to a doubt that has changed is refused alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.doubts.conftest import Command
from tests.doubts.fake_airflow import FakeAirflow, Instance
from tests.doubts.test_command import AT, asking, failed


def entry(task_id: str = "pay", map_index: int = 0, kind: str = "uncertain", **others: Any) -> dict[str, Any]:
    """Return an entry of a file of answers."""
    return {"task_id": task_id, "map_index": map_index, "kind": kind, "id": None, "at": AT, "answer": None, **others}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a file of answers."""
    return tmp_path / "answers.json"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (entry(answer="maybe"), "answer there, earlier, submit, stop or null"),
        (entry(answer=["submit"]), "answer there, earlier, submit, stop or null"),
        (entry(answer="earlier"), "Answer there, submit, stop"),
        (entry(answer="there"), "id must be a string"),
        (entry(answer="there", id=[]), "id must be a string"),
        (entry(answer="submit", map_index=False), "must be as --output writes them"),
        (entry(answer="there", id="../secrets"), "id must be an id as White Rabbit gave it"),
        (entry("ask"), "has another entry already"),
        ({"task_id": "pay", "map_index": 0}, "must be as --output writes them"),
        ({"task_id": "pay", "map_index": "0", "answer": "stop"}, "must be as --output writes them"),
        ("submit", "must be as --output writes them"),
    ],
)
def test_wrong_entries(airflow: FakeAirflow, command: Command, file: Path, wrong: Any, message: str) -> None:
    """One wrong entry of a file is named with the remedy, and no other entry is sent."""
    airflow.instances = {("pay", 0): failed(), ("ask", 0): asking()}
    file.write_text(json.dumps([entry("ask", answer="submit"), wrong]))
    status, _, err = command("--answers", str(file))
    assert status == 1
    assert err.startswith("Entry 2: ")
    assert message in err
    assert err.endswith("Nothing was sent.\n")
    assert airflow.writes == []


@pytest.mark.parametrize("content", ["", "{}", "[", "\xff", "[" * 100_000], ids=lambda content: repr(content[:9]))
def test_wrong_files(airflow: FakeAirflow, command: Command, file: Path, content: str) -> None:
    """A file that is not a JSON array is named before any request."""
    file.write_bytes(content.encode("latin-1"))
    status, _, err = command("--answers", str(file))
    assert status == 1
    assert str(file) in err
    assert airflow.requests == []


def test_all_alike_must_fit(airflow: FakeAirflow, command: Command) -> None:
    """If one doubt does not have the answer of ``--all``, nothing is sent."""
    airflow.instances = {("pay", 0): failed("gone"), ("pay", 1): failed("other request")}
    status, _, err = command("--all", "earlier")
    assert status == 1
    assert "pay [0]: 'earlier' does not settle a doubt of the kind 'gone'" in err
    assert airflow.writes == []


@pytest.mark.parametrize(
    "other",
    [
        failed(at="2026-11-24T10:00:00+00:00"),
        failed("gone"),
        failed(id="e-7"),
        failed(asked="b" * 64),
        Instance("failed", {"id": "e-7", "at": AT}),
        Instance("success", {"id": None, "at": AT}),
    ],
    ids=["time", "kind", "id", "request", "no doubt", "not failed"],
)
def test_a_file_of_yesterday(airflow: FakeAirflow, command: Command, file: Path, other: Instance) -> None:
    """An answer to a doubt that has changed since the file was written is refused, and the others are sent."""
    airflow.instances = {("pay", 0): other, ("pay", 1): failed()}
    file.write_text(json.dumps([entry(answer="submit", request=None), entry(map_index=1, answer="submit")]))
    status, out, err = command("--answers", str(file))
    assert status == 1
    assert err.startswith("refused: pay [0]: ")
    assert out.splitlines() == ["settled: pay [1]: submit", "1 settled, 0 skipped, 1 refused"]
    assert [body["task_ids"] for _, path, body in airflow.writes if path == "clear"] == [[["pay", 1]]]


@pytest.mark.parametrize("instance", [failed(), asking()], ids=["failed", "asking"])
def test_changed_meanwhile(airflow: FakeAirflow, command: Command, instance: Instance) -> None:
    """If the record changes between listing and settling, nothing is sent for this doubt."""
    airflow.instances = {("pay", 0): instance, ("pay", 1): failed()}
    reads: list[str] = []

    def change(method: str, path: str) -> None:
        reads.extend([path] if path.endswith(("/state-store", "whiterabbit_submission")) else [])
        if len(reads) == 2:  # both doubts have been listed
            instance.record = {**instance.record, "id": "e-7"}

    airflow.before = change
    status, out, err = command("--all", "submit")
    assert status == 1
    assert "pay [0]: the record of the submission has changed" in err
    assert out.splitlines() == ["settled: pay [1]: submit", "1 settled, 0 skipped, 1 refused"]


def test_cleared_meanwhile(airflow: FakeAirflow, command: Command) -> None:
    """A task that is not failed any more when it is to be cleared is refused, and the message says what was stored."""
    airflow.instances = {("pay", 0): failed(), ("pay", 1): failed()}

    def change(method: str, path: str) -> None:
        if path == "clear":
            airflow.instances["pay", 0].state = "running"

    airflow.before = change
    status, out, err = command("--all", "submit")
    assert status == 1
    assert "refused: pay [0]: the answer is stored, but the task was not cleared" in err
    assert out.splitlines()[-1] == "1 settled, 0 skipped, 1 refused"


@pytest.mark.parametrize("part", ["/hitlDetails", "PUT", "clear"])
def test_airflow_refuses(airflow: FakeAirflow, command: Command, part: str) -> None:
    """What Airflow refuses is refused with Airflow's reason; the same command settles the rest later."""
    airflow.instances = {("ask", 0): asking(), ("pay", 0): failed()}
    airflow.before = lambda method, path: 503 if method != "GET" and part in f"{method} {path}" else None
    status, _, err = command("--all", "submit")
    assert status == 1
    assert "Airflow answered 503" in err
    assert "as the test wants it" in err
    airflow.before = lambda method, path: None
    assert command("--all", "submit")[0] == 0
    assert {instance.state for instance in airflow.instances.values()} == {"scheduled"}
    assert airflow.instances["pay", 0].answer["choice"] == "submit"
