"""The fixtures that the end-to-end tests share: one Airflow and one emulator for the whole session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from dev.harness.courier import Courier
from dev.harness.modules import MODULES
from dev.harness.polling import until
from dev.harness.postgres import Postgres
from dev.harness.statsd import StatsdServer
from tests.e2e import DASHBOARD, ERROR, OUTPUT, PARSE_ONCE, ROOT
from tests.e2e.runs import OperatorRuns, SensorRuns, wait_until_deferred
from tests.versions import HAS_BUSY_ANSWERS, HAS_RUN_EACH, HAS_STORE, HAS_TRIGGERER_END

SHARING = {
    f"test_{name}" for name in ["ask", "components", "examples", "hundred", "secrets", "sensor", "texts", "workflows"]
}
"""The modules that share the session's Airflow."""

LONGEST = [f"test_{name}" for name in ("callbacks_heard", "demo", "callbacks", "tutorial", "triggerer")]
"""The modules that take longest, although some have few tests. They begin, with those that share an Airflow."""


class SharingScheduling(LoadFileScheduling):
    """A way of pytest-xdist to distribute tests: one process runs all modules that share the session's Airflow."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the name of the group that a test belongs to; one process runs a group."""
        file = super()._split_scope(nodeid)
        return "sharing" if Path(file).stem in SHARING else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Replace the way `loadfile`, where other modules keep the other process busy: most of them need Airflow 3.2."""
    is_replaced = HAS_RUN_EACH and config.getoption("dist") == "loadfile"
    return SharingScheduling(config, log) if is_replaced else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Check that no other module shares the session's Airflow; sort the tests so that the longest modules begin."""
    items.sort(key=_place)
    for item in items:
        is_sharing = "airflow" in getattr(item, "fixturenames", ()) and not hasattr(item.module, "airflow")
        if item.get_closest_marker("e2e") and is_sharing and item.path.stem not in SHARING:
            raise pytest.UsageError(f"{item.path} shares the session's Airflow: it belongs to SHARING in {__file__}")


def _place(item: pytest.Item) -> int:
    name = item.path.stem if item.path.parent == Path(__file__).parent else ""  # all tests of the session come here
    return 0 if name in SHARING else 1 + (LONGEST.index(name) if name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def wr() -> Iterator[Emulator]:
    """Run the session's emulator."""
    with Emulator(components=MODULES) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def statsd() -> Iterator[StatsdServer]:
    """Run the server to which the session's Airflow reports metrics."""
    with StatsdServer() as statsd:
        yield statsd


@pytest.fixture(scope="session")
def airflow(wr: Emulator, statsd: StatsdServer) -> Iterator[AirflowHome]:
    """Run the session's Airflow with the example DAGs and the tests' DAGs; its connection leads to the emulator."""
    connection = wr.connection
    connection["extra"]["execution_url"] = DASHBOARD + "{execution_id}"
    mistyped = connection | {"extra": connection["extra"] | {"request_timout": 5}}
    environ = PARSE_ONCE | {
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_MISTYPED": json.dumps(mistyped),
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__WHITERABBIT__DASHBOARD_LINKS": "True",
        **statsd.environ,
    }
    names = ["dags", *(["ask_dags"] if HAS_STORE else []), *(["text_dags"] if HAS_TRIGGERER_END else [])]
    folders = [ROOT / "example_dags", *(ROOT / "tests" / "e2e" / name for name in names)]
    with ExitStack() as stack:
        # SQLite allows one write at a time. With SQLite, Airflow 2 runs only one task at a time. Before Airflow 3.3 the
        # API answers a plain 500 if its write gets no turn, and 3.3 answers with the reason.
        database = None if HAS_BUSY_ANSWERS else stack.enter_context(Postgres()).url
        yield stack.enter_context(AirflowHome(folders, database=database, environ=environ))


@pytest.fixture(scope="session")
def sensor_runs(airflow: AirflowHome, wr: Emulator) -> SensorRuns:
    """Start all runs of the sensors' DAGs, and end the executions that must end while the triggerer waits for them."""
    sensor_runs = SensorRuns(airflow, wr)
    sensor_runs.runs["modes"] = airflow.run("whiterabbit_sensor_modes")
    sensor_runs.start("completed", "e2e_deferrable", manual=True)
    sensor_runs.start("finished", "e2e_deferrable", output=OUTPUT)
    sensor_runs.start("failed", "e2e_deferrable", manual=True)
    sensor_runs.start("failed in poke", "e2e_poke", error=ERROR, after=8)
    sensor_runs.start("failed softly", "e2e_soft_fail", manual=True)
    sensor_runs.start("late", "e2e_impatient", manual=True)
    sensor_runs.start("late softly", "e2e_soft_fail", manual=True)
    sensor_runs.start("linked", "e2e_linked", manual=True)
    ids = [wr.create_execution(module="E2E", manual=True) for _ in range(3)]
    sensor_runs.runs["mapped"] = airflow.run("e2e_mapped", {"execution_ids": ids})
    for name in ("completed", "failed"):
        wr.start(sensor_runs.wait_until_deferred(name))
    until(lambda: "EXECUTING" in sensor_runs.runs["completed"].log("wait"), "the change to be logged", 120)
    wr.complete(sensor_runs.executions["completed"], OUTPUT)
    wr.fail(sensor_runs.executions["failed"], ERROR)
    wr.fail(sensor_runs.wait_until_deferred("failed softly"), ERROR)
    wr.complete(sensor_runs.wait_until_deferred("linked"), OUTPUT)
    for number, identity in enumerate(ids):
        wait_until_deferred(airflow, sensor_runs.runs["mapped"], "wait", number)
        wr.complete(identity, {"n": number})
    return sensor_runs


@pytest.fixture(scope="session")
def operator_runs(airflow: AirflowHome, wr: Emulator) -> OperatorRuns:
    """Start all runs of the operators' DAGs, and complete the first stage of each workflow while its task waits."""
    operator_runs = OperatorRuns(airflow, wr)
    operator_runs.start_component("late", "e2e_component_impatient", manual=True)
    operator_runs.start_component("deferred", "e2e_component_deferrable", manual=True)
    operator_runs.start_component("failed", "e2e_component_deferrable", manual=True)
    operator_runs.start_component("in the worker", "e2e_component_worker", output=OUTPUT, after=3)
    operator_runs.start_component("failed in the worker", "e2e_component_worker", error=ERROR)
    operator_runs.start_component("inline", "e2e_component_inline", output=OUTPUT, after=1)
    operator_runs.start_component("failed inline", "e2e_component_inline", error=ERROR)
    operator_runs.start_component("submitted", "e2e_component_submitted", manual=True)
    first = {"module": "SWAP", "output": OUTPUT, "manual": True}
    stages = [first, *({"module": "SWAP", "output": OUTPUT, "after": 2} for _ in range(2))]
    failing = [first, {"module": "PAY", "error": ERROR, "after": 1}, stages[2]]
    for way in ("operator", "worker", "sensor"):
        dag_id = f"e2e_workflow_{way}"
        operator_runs.start_workflow(f"{way} completed", dag_id, stages)
        operator_runs.start_workflow(f"{way} failed", dag_id, failing)
        operator_runs.start_workflow(f"{way} canceled", dag_id, stages, ending="CANCELED", reason="stopped by treasury")
    for way in ("operator", "worker", "sensor"):
        for ending in ("completed", "failed", "canceled"):
            operator_runs.complete_first_stage(f"{way} {ending}")
    return operator_runs


@pytest.fixture(scope="module")
def courier() -> Iterator[Courier]:
    """Run a courier between the emulator and Airflow, for all tests of a module."""
    with Courier() as courier:
        yield courier
