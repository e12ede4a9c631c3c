"""End-to-end test of texts that end a triggerer, or a worker, if they reach an event, a log or an XCom as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from dev.harness.postgres import Postgres, programs
from tests.e2e import OUTPUT, PARSE_ONCE, ROOT
from tests.e2e.text_dags.e2e_texts import HOSTILE, ORDINARY
from tests.versions import needs_triggerer_end

pytestmark = [pytest.mark.e2e, pytest.mark.long, needs_triggerer_end]

SHOWN = {
    "surrogate": "NOT_FOUND: half an emoji: \ufffd",
    "nul": "NOT_FOUND: nothing: \ufffd",
    "controls": "NOT_FOUND: red: \ufffd[31m",
    "content_type": "(text/\ufffd\ufffd)",
    "error": "FAILED: half \ufffd and nothing \ufffd",
    "output": "has completed and is paid for, but Airflow can't store its output as XCom: it has the character "
    "U+D83D at $.notes[0]",
    "output_nul": "it has the character U+0000 at $.a[0].b",
    "status": "status",
}
"""What the log of each hostile task shows."""


@pytest.fixture
def on_postgres(wr: Emulator) -> Iterator[AirflowHome]:
    """Run an Airflow on PostgreSQL; skip the test if PostgreSQL is not installed."""
    try:
        programs()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    folders = [ROOT / "tests" / "e2e" / "text_dags"]
    environ = wr.environ | PARSE_ONCE
    with Postgres() as database, AirflowHome(folders, database=database.url, environ=environ) as home:
        yield home


def hostile_executions(wr: Emulator) -> dict[str, str]:
    """Create an execution for each hostile text, and let the emulator send the text; return the ids by task."""
    ids = {
        "error": wr.create_execution("E2E", error={"message": "half \ud83d and nothing \0"}),
        "output": wr.create_execution("E2E", output={"notes": ["half \ud83d"]}),
        "output_nul": wr.create_execution("E2E", output={"a": [{"b": "nothing \0"}]}),
    }
    ids |= {name: wr.create_execution("E2E", manual=True) for name in HOSTILE if name not in ids}
    messages = {"surrogate": "half an emoji: \ud83d", "nul": "nothing: \0", "controls": "red: \x1b[31m"}
    for name, message in messages.items():
        refusal = effects.Answer(404, {"errors": [{"code": "NOT_FOUND", "message": message}]})
        wr.fault(refusal, path=f"*{ids[name]}*", times=None)
    page = effects.Answer(200, "<html>", headers={"Content-Type": "text/\xff\xfe"})
    wr.fault(page, path=f"*{ids['content_type']}*", times=None)
    wr.fault(effects.Alter({"status": "\ud83d"}), kind="record", path=f"*{ids['status']}", times=None)
    return ids


def test_on_sqlite(airflow: AirflowHome, wr: Emulator) -> None:
    """With SQLite, the database of the session's Airflow, only the tasks with hostile texts fail."""
    assert airflow.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("sqlite")
    check_that_only_the_task_concerned_fails(airflow, wr)


def test_on_postgres(on_postgres: AirflowHome, wr: Emulator) -> None:
    """With PostgreSQL, which cannot store NUL, only the tasks with hostile texts fail."""
    check_that_only_the_task_concerned_fails(on_postgres, wr)


def check_that_only_the_task_concerned_fails(airflow: AirflowHome, wr: Emulator) -> None:
    """One triggerer process holds all waits; tasks with hostile texts fail with a readable message, others succeed."""
    ids = hostile_executions(wr) | {name: wr.create_execution("E2E", manual=True) for name in ORDINARY}
    processes = {process.pid for process in airflow.processes("triggerer")}
    assert len(processes) > 1
    run = airflow.run("e2e_texts", ids)
    for name in ORDINARY:
        wr.wait_for_stream(ids[name], timeout=120)
    until(lambda: all(run.tasks()[name, -1].state == "failed" for name in HOSTILE), "the hostile texts to end", 180)
    for name in ORDINARY:
        wr.complete(ids[name], OUTPUT)
    assert run.wait(120) == "failed"
    states = {task.task_id: task.state for task in run.tasks().values()}
    assert states == dict.fromkeys(HOSTILE, "failed") | dict.fromkeys(ORDINARY, "success"), airflow.explain(run)
    assert processes <= {process.pid for process in airflow.processes("triggerer")}

    def lacking() -> dict[str, str]:
        logs = {name: "\n".join(run.messages(name)) for name in HOSTILE}
        return {name: logs[name] for name, text in SHOWN.items() if text not in logs[name]}

    with suppress(TimeoutError):  # the triggerer writes the logs beside the ends of the tasks
        until(lambda: not lacking(), "the texts in the logs", 60)
    assert lacking() == {}
