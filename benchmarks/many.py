"""Many executions in one DAG run: as mapped tasks, and as one task, on the same Airflow over TLS."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # installed with Airflow, without its stubs

from benchmarks import server
from benchmarks.many_trigger import FILE
from benchmarks.process import ROOT, connections
from benchmarks.report import Goal
from benchmarks.tls_server import Served, serving_tls
from dev.harness.airflow_api import FINISHED
from dev.harness.airflow_home import COMPONENTS, AirflowHome
from dev.harness.polling import until
from dev.harness.postgres import Postgres

TITLE = "Many executions in one DAG run"
COUNT, SMOKE_COUNT = 1000, 50
DURATION, LONG_DURATION = 5, 30
"""Seconds from the submission of an execution to its end. A task waits for long ones in the triggerer."""

WAYS = {
    "mapped": (f"a mapped task for each execution of {DURATION} s", "mapped", DURATION),
    "one_task": (f"**all in one task**, executions of {DURATION} s", "one_task", DURATION),
    "deferred": (f"**all in one task**, executions of {LONG_DURATION} s", "one_task", LONG_DURATION),
}
"""For each way its description, the id of its DAG, and the duration of the executions in seconds."""

TIMEOUT = 3600.0
"""Seconds after which a DAG run fails the benchmark."""


class Runs:
    """Runs the two DAGs, and measures what all of Airflow has used for each.

    :param known: the file in which the task and its trigger note when they know of each end.
    """

    def __init__(self, airflow: AirflowHome, postgres: Postgres, served: Served, known: Path) -> None:
        self._airflow = airflow
        self._postgres = postgres
        self._served = served
        self._known = known

    def measure(self, way: str, count: int) -> dict[str, Any]:
        """Run the DAG of a way with so many executions, and return its figures.

        :raises RuntimeError: if the run fails.
        """
        _, dag_id, duration = WAYS[way]
        server.get_json(self._served.plain_url, f"/duration/{duration}")
        self._known.write_text("")
        submitted = len(self._ends())
        cpu, rows, started = self._cpu(), self._rows(), time.time()
        run = self._airflow.run(dag_id, {"count": count})
        until(lambda: run.state in FINISHED, f"the run of {dag_id} to end", TIMEOUT, interval=1)
        if run.state != "success":
            raise RuntimeError(f"{run}: {self._airflow.explain(run)}")
        ends = self._ends()
        finished = datetime.fromisoformat(self._airflow.api.call("GET", run.path)["end_date"])
        return {
            "executions": len(ends) - submitted,
            "cpu": self._cpu() - cpu,
            "seconds": finished.timestamp() - started,
            "rows": self._rows() - rows,
            "known": self._seconds_until_known(ends),
        }

    def _ends(self) -> dict[str, float]:
        """Return when the executions have ended, or will end, in Unix seconds."""
        return dict(server.get_json(self._served.plain_url, "/ends"))

    def _seconds_until_known(self, ends: dict[str, float]) -> float | None:
        """Return the median of the seconds from the end of an execution until it is known; None if nobody notes it."""
        known: dict[str, float] = {}
        for line in self._known.read_text().splitlines():
            name, at = line.split()
            known.setdefault(name, float(at))  # a worker reads the records once more
        return statistics.median([at - ends[name] for name, at in known.items()]) if known else None

    def _cpu(self) -> float:
        """Return the CPU seconds that all processes of Airflow have used, those included that have ended."""
        total = 0.0
        for component in COMPONENTS:
            for process in self._airflow.processes(component):
                with contextlib.suppress(psutil.Error):  # it has ended meanwhile, and counts as its parent's child
                    total += sum(process.cpu_times()[:4])
        return total

    def _rows(self) -> int:
        """Return how many rows PostgreSQL has inserted, changed and deleted."""
        import sqlalchemy

        engine = sqlalchemy.create_engine(self._postgres.url)
        written = "SELECT sum(tup_inserted + tup_updated + tup_deleted) FROM pg_stat_database"
        try:
            with engine.connect() as connection:
                return int(connection.execute(sqlalchemy.text(written)).scalar_one())
        finally:
            engine.dispose()


def measure(smoke: bool) -> Any:
    """Measure all ways on the same Airflow, after two executions of each DAG as a warm-up."""
    server.allow_many_files()  # Airflow's processes inherit the limit
    with tempfile.TemporaryDirectory(prefix="benchmark-many-") as folder, contextlib.ExitStack() as stack:
        known = Path(folder) / "known"
        known.touch()
        served, postgres = stack.enter_context(serving_tls(15.0)), stack.enter_context(Postgres())
        environ = connections(served.url) | served.trust | {FILE: str(known), "PYTHONPATH": str(ROOT)}
        folders = [ROOT / "benchmarks" / "many_dags"]
        airflow = stack.enter_context(AirflowHome(folders, database=postgres.url, environ=environ))
        runs = Runs(airflow, postgres, served, known)
        for way in ("mapped", "one_task"):
            runs.measure(way, 2)
        return {way: runs.measure(way, SMOKE_COUNT if smoke else COUNT) for way in WAYS}


def table(data: Any) -> list[list[str]]:
    """Return what each way has used."""
    rows = [["way", "executions", "CPU of Airflow, s", "until the run has ended, s", "rows written", "known, s"]]
    for way, used in data.items():
        known = "" if used["known"] is None else f"{used['known']:.2f}"
        figures = [f"{used['cpu']:,.1f}", f"{used['seconds']:,.1f}", f"{used['rows']:,}", known]
        rows.append([WAYS[way][0], f"{used['executions']:,}", *figures])
    return rows


def goals(data: Any) -> list[Goal]:
    """Return the goals: each input is submitted once, and one task costs little."""
    mapped, one, deferred = data["mapped"], data["one_task"], data["deferred"]
    more = one["executions"] + deferred["executions"] - 2 * mapped["executions"]
    return [
        Goal("executions that nobody asked for", more, 0, "executions"),
        Goal("CPU / CPU of the mapped tasks", one["cpu"] / mapped["cpu"], 1 / 50, "times"),
        Goal("time / time of the mapped tasks", one["seconds"] / mapped["seconds"], 1 / 15, "times"),
        Goal("median from an end until the worker knows it", one["known"], 1, "s"),
        Goal("median from an end until the trigger knows it", deferred["known"], 1, "s"),
    ]
