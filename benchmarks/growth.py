"""Growth: waits in one, two and four triggerers of a real Airflow on PostgreSQL, and what they cost the database.

All parts share this machine's cores, so more triggerers do not make it faster once the cores are busy. What the figures
show is how the work is divided, and what a wait costs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy

from benchmarks import server
from benchmarks.byte_server import ByteServer
from benchmarks.process import ROOT, connections
from benchmarks.report import Goal
from benchmarks.system import PAGE_LIMIT, PING_INTERVAL, TASKS, Crowds
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from dev.harness.postgres import Postgres

TITLE = "Growth"
PAGE = ROOT / "docs" / "beyond-one-machine.md"
CROWDS = {1: (1000, 4000), 2: (2000,), 4: (4000,)}
"""Numbers of waits by the number of triggerers: a thousand for each triggerer, and four thousand in a single one."""

IDLE_SECONDS = 60.0
"""Seconds for which the waits only wait, while queries and CPU time are counted."""

BURST_SECONDS = 1.0
"""Seconds over which all executions of a crowd end, much faster than Airflow ends their tasks."""

TIMEOUT = 120.0
TIMEOUT_PER_WAIT = 0.25
"""Seconds that the start of a crowd, and its end, may take; several times the normal duration."""

WAY = "ours"

STATISTICS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "10000",
    "pg_stat_statements.track_utility": "off",  # neither BEGIN nor COMMIT
}
"""Options with which PostgreSQL counts its statements. The library comes with the server on Debian."""

_COUNTED = "SELECT coalesce(sum(calls), 0), coalesce(sum(rows), 0) FROM pg_stat_statements"
_DIVIDED = "SELECT count(*) FROM trigger WHERE triggerer_id IS NOT NULL GROUP BY triggerer_id ORDER BY 1"
_ALIVE = """
SELECT count(*) FROM job
WHERE job_type = 'TriggererJob' AND state = 'running' AND latest_heartbeat > now() - interval '10 seconds'
"""


@dataclass(frozen=True)
class Load:
    """What Airflow has done within a time in which all waits only wait.

    :param queries: statements per second, of all parts of Airflow.
    :param rows: rows that these statements have returned or changed, per second.
    :param cpu: share of a core that all triggerers together have used.
    """

    queries: float
    rows: float
    cpu: float


class Deployment:
    """An Airflow with several triggerers, and its database."""

    def __init__(self, airflow: AirflowHome, postgres: Postgres, triggerers: int) -> None:
        self._airflow = airflow
        self._engine = sqlalchemy.create_engine(postgres.url, poolclass=sqlalchemy.pool.NullPool)
        self._names = ["triggerer", *(f"triggerer-{number}" for number in range(2, triggerers + 1))]

    def start_triggerers(self) -> None:
        """Start the triggerers beside the first one, and wait until all are at work."""
        self._query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        for name in self._names[1:]:
            self._airflow.start(name)
        until(lambda: self._query(_ALIVE)[0][0] >= len(self._names), "all triggerers to be at work", TIMEOUT)

    def divided(self) -> list[int]:
        """Return how many waits each triggerer has, of those that have any, the fewest first."""
        return [int(row[0]) for row in self._query(_DIVIDED)]

    def load(self, seconds: float) -> Load:
        """Count for some seconds what Airflow does."""
        before, cpu, started = self._counted(), self._cpu(), time.monotonic()
        time.sleep(seconds)
        after, seconds = self._counted(), time.monotonic() - started
        queries, rows = ((late - early) / seconds for early, late in zip(before, after, strict=True))
        return Load(queries, rows, (self._cpu() - cpu) / seconds)

    def _counted(self) -> list[float]:
        return [float(number) for number in self._query(_COUNTED)[0]]

    def _cpu(self) -> float:
        """Return the CPU seconds that the triggerers have used so far."""
        processes = [process for name in self._names for process in self._airflow.processes(name)]
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    def _query(self, sql: str) -> list[Any]:
        with self._engine.begin() as connection:
            result = connection.execute(sqlalchemy.text(sql))
            return list(result) if result.returns_rows else []


@contextmanager
def _deployment(byte_server: ByteServer, url: str, triggerers: int) -> Iterator[tuple[Deployment, Crowds]]:
    environ = {
        "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": str(PAGE_LIMIT),
        "AIRFLOW__TRIGGERER__CAPACITY": "10000",
        "SYSTEM_TASKS": str(TASKS),
        "PYTHONPATH": str(ROOT),
    }
    with (
        Postgres(STATISTICS) as postgres,
        AirflowHome(
            [ROOT / "benchmarks" / "system_dags"], database=postgres.url, environ=connections(url) | environ
        ) as airflow,
    ):
        deployment = Deployment(airflow, postgres, triggerers)
        deployment.start_triggerers()
        yield deployment, Crowds(airflow, byte_server, url)


def measure(smoke: bool) -> Any:
    """Measure each number of triggerers with each number of waits, in an Airflow of its own for each of the former."""
    server.allow_many_files()  # Airflow's processes inherit the limit
    byte_server = ByteServer()
    rows: list[dict[str, Any]] = []
    with byte_server.running():
        for triggerers in (1, 2) if smoke else CROWDS:
            # The server is a new one too: it remembers all executions that have ended.
            with (
                server.serving(PING_INTERVAL) as url,
                _deployment(byte_server, url, triggerers) as (deployment, crowds),
            ):
                rows += _rows(deployment, crowds, triggerers, smoke)
    return rows


def _rows(deployment: Deployment, crowds: Crowds, triggerers: int, smoke: bool) -> Iterator[dict[str, Any]]:
    """Yield the figures of each crowd, after a small one as a warm-up."""
    seconds = 3.0 if smoke else IDLE_SECONDS
    crowds.end(WAY, crowds.start(WAY, 2 * TASKS, TIMEOUT), BURST_SECONDS, TIMEOUT)
    without = deployment.load(seconds)
    for count in (40,) if smoke else CROWDS[triggerers]:
        timeout = TIMEOUT + count * TIMEOUT_PER_WAIT
        started = crowds.start(WAY, count, timeout)
        divided = deployment.divided()
        load = deployment.load(seconds)
        ended = crowds.end(WAY, started, BURST_SECONDS, timeout)
        yield {
            "triggerers": triggerers,
            "waits": count,
            "ended": len(ended.latencies),
            "start": started.seconds,
            "divided": divided,
            "cpu": load.cpu,
            "end": ended.seconds,
            "queries_without": without.queries,
            "queries": load.queries,
            "rows": load.rows - without.rows,
        }


def table(data: Any) -> list[list[str]]:
    """Return what each number of triggerers does with each number of waits."""
    heading = ["triggerers", "waits", "waits per triggerer", "all waiting after, s", "ends per second"]
    heading += [
        "triggerers' CPU while they wait, % of a core",
        "database queries per second without waits",
        "with them",
    ]
    rows = [[*heading, "queries per wait and hour", "rows per wait and hour"]]
    for row in data:
        per_wait = 3600 / row["waits"]
        rows.append(
            [
                f"{row['triggerers']}",
                f"{row['waits']:,}",
                " + ".join(f"{count:,}" for count in row["divided"]),
                f"{row['start']:.0f}",
                f"{row['ended'] / row['end']:.0f}",
                f"{100 * row['cpu']:.0f}",
                f"{row['queries_without']:.0f}",
                f"{row['queries']:.0f}",
                f"{(row['queries'] - row['queries_without']) * per_wait:,.0f}",
                f"{row['rows'] * per_wait:,.0f}",
            ]
        )
    return rows


def goals(data: Any) -> list[Goal]:
    """Return the goals: every wait ends well, and every triggerer has waits."""
    idle = sum(row["triggerers"] - len(row["divided"]) for row in data)
    return [
        Goal("waits whose task did not succeed", sum(row["waits"] - row["ended"] for row in data), 0, "waits"),
        Goal("triggerers without waits", idle, 0, "triggerers"),
    ]
