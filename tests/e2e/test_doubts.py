"""The command `airflow whiterabbit doubts` settles the doubts of a real Airflow, many at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.modules import MODULES
from dev.harness.polling import until
from dev.harness.postgres import Postgres
from tests.e2e import PARSE_ONCE, ROOT
from tests.versions import needs_store

pytestmark = [pytest.mark.e2e, pytest.mark.long, needs_store]

MANY = 205
AIRFLOW = str(Path(sys.executable).parent / "airflow")


@pytest.fixture(scope="module")
def wr() -> Iterator[Emulator]:
    """Run an emulator for all tests of this module."""
    with Emulator(components=MODULES) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(wr: Emulator) -> Iterator[AirflowHome]:
    """Run Airflow on PostgreSQL with the DAGs that have doubts."""
    environ = PARSE_ONCE | {
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(wr.connection),
        "AIRFLOW__CORE__PARALLELISM": "8",
        "MANY": str(MANY),
    }
    try:
        server = Postgres().__enter__()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with ExitStack() as stack:
        stack.push(server.__exit__)
        folders = [ROOT / "tests" / "e2e" / "doubt_dags"]
        yield stack.enter_context(AirflowHome(folders, database=server.url, environ=environ))


def doubts(airflow: AirflowHome, run: DagRun, *options: str, status: int = 0) -> str:
    """Run the command for a DAG run, check its exit status, and return the last line that it prints."""
    command = [AIRFLOW, "whiterabbit", "doubts", run.dag_id, run.run_id, *options]
    ended = subprocess.run(command, env=airflow.environ, capture_output=True, text=True, timeout=120)
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended.stdout.splitlines()[-1]


def stored(run: DagRun, task_id: str, map_index: int, key: str = "whiterabbit_submission") -> Any:
    """Return what the task state store of a task instance has; by default the record of its submission."""
    path = f"{run.path}/taskInstances/{task_id}/state-store/{key}"
    return run.api.call("GET", path, map_index=map_index)["value"]


def test_every_answer(airflow: AirflowHome, wr: Emulator, tmp_path: Path) -> None:
    """A file of answers settles failed tasks and questions: each takes the named execution, submits anew, or stops."""
    wr.script("DOUBTED", output={"paid": True})
    wr.fault(effects.Answer(500), kind="submit", times=None)
    run = airflow.run("e2e_doubts")
    states = {"pay.fail": "failed", "pay.ask": "awaiting_input"}

    def doubtful() -> bool:
        tasks = run.tasks().values()
        return bool(tasks) and all(task.state == states[task.task_id] for task in tasks)

    until(doubtful, "all tasks to have a doubt", 120)
    wr.clear_faults()
    file = tmp_path / "answers.json"
    assert doubts(airflow, run, "--output", str(file)).startswith("6 doubts are in ")
    found = [wr.create_execution(module="DOUBTED", output={"found": number}) for number in range(2)]
    entries = json.loads(file.read_text())
    for entry, answer in zip(entries, ["there", "submit", "stop"] * 2, strict=True):
        entry |= {"answer": answer, "id": found[entry["task_id"] == "pay.fail"] if answer == "there" else None}
    file.write_text(json.dumps(entries))
    assert doubts(airflow, run, "--answers", str(file)) == "6 settled, 0 skipped, 0 refused"
    assert run.wait(120) == "failed"
    ended = {place: (task.state, run.xcom(place[0], map_index=place[1])) for place, task in run.tasks().items()}
    for task_id in states:
        assert ended[task_id, 0] == ("success", {"found": int(task_id == "pay.fail")}), airflow.explain(run)
        assert ended[task_id, 1] == ("success", {"paid": True}), airflow.explain(run)
        assert ended[task_id, 2] == ("failed", None)
    assert len(wr.executions) == 4


def test_many(airflow: AirflowHome) -> None:
    """One command settles all failed tasks that have a doubt, and leaves the others alone."""
    airflow.api.call("POST", "/pools", {"name": "closed", "slots": 0})
    run = airflow.run("e2e_many_doubts")
    until(lambda: len(run.tasks()) == MANY, "the mapped tasks", 120)
    airflow.api.call("PATCH", f"{run.path}/taskInstances/pay", {"new_state": "failed"})
    intent = {"id": None, "max_tries": 0, "try_number": 1, "at": "2026-11-24T09:08:07+00:00", "doubt": "uncertain"}
    known = {"id": "e-1", "max_tries": 0, "try_number": 1, "at": "2026-11-24T09:08:07+00:00"}
    for map_index in range(MANY):
        path = f"{run.path}/taskInstances/pay/state-store/whiterabbit_submission"
        airflow.api.call("PUT", path, {"value": intent if map_index >= 5 else known}, map_index=map_index)
    started = time.monotonic()
    assert doubts(airflow, run, "--all", "submit") == f"{MANY - 5} settled, 0 skipped, 0 refused"
    print(f"{MANY - 5} doubts settled in {time.monotonic() - started:.1f} s")
    states = Counter((map_index < 5, task.state == "failed") for (_, map_index), task in run.tasks().items())
    assert states == {(True, True): 5, (False, False): MANY - 5}
    assert stored(run, "pay", MANY - 1, "whiterabbit_answer")["choice"] == "submit"
    assert stored(run, "pay", MANY - 1) == intent
    assert stored(run, "pay", 0) == known
