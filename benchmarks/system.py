"""A thousand waits at once in one triggerer of a real Airflow on PostgreSQL, all of which end within a minute."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks import server
from benchmarks.latency import Starter
from benchmarks.process import ROOT, connections
from benchmarks.report import Goal
from dev.harness.airflow_api import FINISHED, until
from dev.harness.airflow_home import AirflowHome
from dev.harness.postgres import Postgres

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The whole system"
WAYS = {
    "floor": "a trigger that ends its task on a byte from a socket (the limit)",
    "storing": "the same, and stores an output as XCom",
    "ours": "**starts and ends in the triggerer, output and credits as XCom**",
}
MINUTE = 60.0
"""Seconds over which the executions of a crowd end."""

TASKS = 10
"""Tasks of a DAG. For each trigger that starts in the triggerer, both of its processes read the whole DAG, and one
sends it to the other: a thousand tasks of one DAG take minutes to start, whatever they do."""

TO_START, TO_END = 150.0, 120.0
"""Seconds within which all of a crowd have to wait, and after the last execution's end the last task has to have ended:
several times what it takes. A crowd that needs longer is not measured."""

PING = 15.0
"""Seconds between two pings of a stream, as White Rabbit's."""

FAR = 100_000
"""From one crowd's numbers to the next one's."""

PAGE = 10_000
"""Tasks that Airflow's API is allowed to list in one answer."""


class Crowds:
    """Lets crowds of waits begin and end, one crowd after the other.

    :param url: address of the server with the executions.
    """

    def __init__(self, airflow: AirflowHome, starter: Starter, url: str) -> None:
        self._airflow = airflow
        self._starter = starter
        self._url = url
        self._first = 0
        self._tasks: Counter[str] = Counter()

    def end_all(self, way: str, count: int, seconds: float) -> dict[str, Any]:
        """Let so many waits begin, and end evenly over so many seconds; return what that took.

        :raises TimeoutError: if they have not begun, or not ended, within the time for it.
        """
        self._first += FAR
        self._tasks[way] += count
        before, started = self._waiting(way), time.monotonic()
        numbers = range(self._first, self._first + count, TASKS)
        runs = {self._airflow.run(way, {"port": self._starter.port, "first": first}).run_id: first for first in numbers}
        until(lambda: self._waiting(way) - before >= count, f"all {count} triggers of {way} to wait", TO_START)
        start, cpu = time.monotonic() - started, self._cpu()
        told = self._tell(way, count, seconds)
        until(lambda: self._all_ended(way), f"all {count} tasks of {way} to end", TO_END, interval=1)
        latencies = [moment - told[number] for number, moment in self._ends(way, runs)]
        return figures(latencies, count, start, self._cpu() - cpu)

    def _waiting(self, way: str) -> int:
        return int(server.ask(self._url, "/counts")["streams"]) if way == "ours" else self._starter.waiting

    def _tell(self, way: str, count: int, seconds: float) -> dict[int, float]:
        """End all executions; return when each of them did, by its number."""
        told: dict[int, float] = {}
        start = time.time()
        for place in range(count):
            time.sleep(max(0.0, start + place * seconds / count - time.time()))
            number = self._first + place
            told[number] = time.time()
            if way == "ours":
                server.ask(self._url, f"/end/run-{number}")
            else:
                self._starter.end(number)
        return told

    def _all_ended(self, way: str) -> bool:
        return bool(self._instances(way, state=sorted(FINISHED), limit=1)["total_entries"] == self._tasks[way])

    def _ends(self, way: str, runs: Mapping[str, int]) -> Iterator[tuple[int, float]]:
        """Yield the numbers of the waits that have ended well, and when."""
        for task in self._instances(way, state="success", limit=PAGE)["task_instances"]:
            if task["dag_run_id"] in runs:
                number = runs[task["dag_run_id"]] + int(task["task_id"].rpartition("_")[2])
                yield number, datetime.fromisoformat(task["end_date"]).astimezone(UTC).timestamp()

    def _instances(self, way: str, **params: Any) -> Any:
        return self._airflow.api.call("GET", f"/dags/{way}/dagRuns/~/taskInstances", **params)

    def _cpu(self) -> float:
        """Return the CPU time that the triggerer's processes have used so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._airflow.processes("triggerer"))


def figures(latencies: Sequence[float], waits: int, start: float, cpu: float) -> dict[str, Any]:
    """Return what is kept of a crowd: of its latencies, in seconds, the percentiles from the first on, and the slowest.

    :param start: seconds until all waited.
    :param cpu: seconds of the triggerer's while they ended.
    """
    percentiles = statistics.quantiles(latencies, n=100, method="inclusive")
    return {
        "waits": waits,
        "ended": len(latencies),
        "start": start,
        "cpu": cpu / waits,
        "percentiles": percentiles,
        "slowest": max(latencies),
    }


def measure(smoke: bool) -> Any:
    """Measure the limits, then ours, in the same Airflow, after a few waits of each that warm it up."""
    count, seconds = (20, 2.0) if smoke else (1000, MINUTE)
    server.allow_many_files()  # for Airflow too, which inherits the limit
    starter = Starter()
    environ = {
        "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": str(PAGE),
        "AIRFLOW__TRIGGERER__CAPACITY": "10000",
        "SYSTEM_TASKS": str(TASKS),
        "PYTHONPATH": str(ROOT),
    }
    with starter.serving(), server.serving(PING) as url, Postgres() as postgres:
        folders = [ROOT / "benchmarks" / "system_dags"]
        with AirflowHome(folders, database=postgres.url, environ=connections(url) | environ) as airflow:
            crowds = Crowds(airflow, starter, url)
            for way in WAYS:
                crowds.end_all(way, 2 * TASKS, seconds=1.0)
            return {way: crowds.end_all(way, count, seconds) for way in WAYS}


def table(data: Any) -> list[list[str]]:
    """Return the distribution of each way."""
    head = ["way", "waits", "ended", "median, s", "95 %", "max", "median over the limit's"]
    rows = [[*head, "triggerer's CPU, ms an end", "all wait after, s"]]
    for way, found in data.items():
        seconds = [f"{figure:.2f}" for figure in (_median(found), found["percentiles"][94], found["slowest"])]
        ratio = f"{_median(found) / _median(data['floor']):.1f}"
        cpu = f"{1000 * found['cpu']:.0f}"
        counts = [f"{found[name]:,}" for name in ("waits", "ended")]
        rows.append([WAYS[way], *counts, *seconds, ratio, cpu, f"{found['start']:.0f}"])
    return rows


def _median(found: Any) -> float:
    return float(found["percentiles"][49])


def goals(data: Any) -> list[Goal]:
    """Return that every wait ended, and how much later than Airflow could have ended it."""
    ours, storing = data["ours"], data["storing"]
    return [
        Goal("waits whose task did not end well", ours["waits"] - ours["ended"], 0, "waits"),
        Goal("median over that of the trigger that stores an output", _median(ours) / _median(storing), 1.2, "times"),
        Goal("slowest over its slowest", ours["slowest"] / storing["slowest"], 2, "times"),
        Goal("triggerer's CPU of an end over its", ours["cpu"] / storing["cpu"], 2, "times"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw the share of waits whose task has ended after so many seconds."""
    axes = figure.subplots()
    for way, found in data.items():
        seconds = [0.0, *found["percentiles"], found["slowest"]]
        shares = [place / 100 for place in range(101)]
        axes.plot(seconds, shares, label=WAYS[way].replace("*", ""))
    axes.set(xlabel="seconds from COMPLETED to the end of the task", ylabel="share of the tasks", ylim=(0, 1))
    axes.legend()
