"""One Airflow and one emulator for the whole session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun, until
from dev.harness.airflow_home import AirflowHome
from dev.harness.postgres import Postgres
from tests.e2e import DASHBOARD, ERROR, OUTPUT, ROOT
from tests.e2e.operated import Operated
from tests.versions import HAS_BUSY_ANSWERS


@pytest.fixture(scope="session")
def wr() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def airflow(wr: Emulator) -> Iterator[AirflowHome]:
    connection = wr.connection
    connection["extra"]["execution_url"] = DASHBOARD + "{execution_id}"
    environ = {"AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(connection), "AIRFLOW__CORE__PARALLELISM": "8"}
    folders = [ROOT / "example_dags", ROOT / "tests" / "e2e" / "dags"]
    with ExitStack() as stack:
        # SQLite lets one write at a time. There Airflow 2 runs one task after the other, whatever it waits for, and
        # before 3.3 the API answers a plain 500 if its turn does not come, where 3.3 says what is the matter.
        database = None if HAS_BUSY_ANSWERS else stack.enter_context(Postgres()).url
        yield stack.enter_context(AirflowHome(folders, database=database, environ=environ))


class Started:
    """DAG runs by name, all started at once: each test waits for its own while the others go on."""

    def __init__(self, airflow: AirflowHome, wr: Emulator) -> None:
        self.runs: dict[str, DagRun] = {}
        self.executions: dict[str, str] = {}
        self._airflow = airflow
        self._wr = wr

    def start(self, name: str, dag_id: str, **script: object) -> None:
        """Start a run for an execution that follows a script."""
        self.executions[name] = self._wr.create_execution(module="E2E", **script)
        self.runs[name] = self._airflow.run(dag_id, {"execution_id": self.executions[name]})

    def ended(self, name: str, timeout: float = 120) -> DagRun:
        """Return a run that has ended; tell what Airflow logged if it doesn't end."""
        run = self.runs[name]
        try:
            run.wait(timeout)
        except TimeoutError as error:
            pytest.fail(f"{error}\n{self._airflow.explain(run)}")
        return run


@pytest.fixture(scope="session")
def started(airflow: AirflowHome, wr: Emulator) -> Started:
    started = Started(airflow, wr)
    started.runs["modes"] = airflow.run("whiterabbit_sensor_modes")
    started.start("completed", "e2e_deferrable", manual=True)
    started.start("finished", "e2e_deferrable", output=OUTPUT)
    started.start("failed", "e2e_deferrable", manual=True)
    started.start("failed in poke", "e2e_poke", error=ERROR, after=8)
    started.start("failed softly", "e2e_soft_fail", error=ERROR, after=2)
    started.start("late", "e2e_impatient", manual=True)
    started.start("late softly", "e2e_soft_fail", manual=True)
    ids = [wr.create_execution(module="E2E", output={"n": number}, after=4 + number) for number in range(3)]
    started.runs["mapped"] = airflow.run("e2e_mapped", {"execution_ids": ids})
    for name in ("completed", "failed"):  # these two are to end while the triggerer waits for them, not before
        wr.wait_for_stream(started.executions[name], timeout=120)
        wr.start(started.executions[name])
    until(lambda: "EXECUTING" in started.runs["completed"].log("wait"), "the change to be noticed", 30)
    wr.complete(started.executions["completed"], OUTPUT)
    wr.fail(started.executions["failed"], ERROR)
    return started


@pytest.fixture(scope="session")
def operated(airflow: AirflowHome, wr: Emulator) -> Operated:
    operated = Operated(airflow, wr)
    operated.component("late", "e2e_component_impatient", manual=True)
    operated.component("deferred", "e2e_component_deferrable", manual=True)
    operated.component("failed", "e2e_component_deferrable", manual=True)
    operated.component("in the worker", "e2e_component_worker", output=OUTPUT, after=3)
    operated.component("failed in the worker", "e2e_component_worker", error=ERROR)
    operated.component("inline", "e2e_component_inline", output=OUTPUT, after=1)
    operated.component("failed inline", "e2e_component_inline", error=ERROR)
    operated.component("submitted", "e2e_component_submitted", manual=True)
    stages = [{"module": "SWAP", "output": OUTPUT, "after": 2} for _ in range(3)]
    watched = [{"module": "SWAP", "output": OUTPUT, "manual": True}, *stages[1:]]
    failing = [*stages[:1], {"module": "PAY", "error": ERROR, "after": 1}, *stages[2:]]
    for how in ("operator", "worker", "sensor"):
        dag_id = f"e2e_workflow_{how}"
        operated.workflow(f"{how} completed", dag_id, watched)
        operated.workflow(f"{how} failed", dag_id, failing)
        operated.workflow(f"{how} canceled", dag_id, stages, ending="CANCELED", reason="stopped by treasury")
    for how in ("operator", "worker", "sensor"):
        operated.go_on_when_watched(f"{how} completed")
    return operated
