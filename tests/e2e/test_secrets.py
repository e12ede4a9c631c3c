"""Nothing secret is left in anything that Airflow writes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.e2e


def files_with(folder, secrets):
    """Return the files under the folder that contain one of the secrets."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file for file in files if any(secret.encode() in file.read_bytes() for secret in secrets)]


def test_secrets_are_in_no_log_and_not_in_the_database(started, airflow, wr):
    """Not in a task's log, a component's output, a serialized DAG, a trigger's arguments or an XCom."""
    for name in started.runs:
        started.ended(name)
    assert files_with(airflow.home, [started.executions["completed"]]), "the search would find nothing at all"
    assert files_with(airflow.home, [wr.api_key, wr.api_secret]) == []


def test_planted_secret_is_found(tmp_path):
    """The search sees into nested folders and binary files."""
    planted = tmp_path / "logs" / "task" / "attempt=1.log"
    planted.parent.mkdir(parents=True)
    planted.write_bytes(b"\x00\xff before ws_secret after")
    (tmp_path / "harmless").write_text("ws_other")
    assert files_with(tmp_path, ["ws_secret"]) == [planted]
