"""The whole system: a thousand waits in one triggerer of a real Airflow on PostgreSQL all end within a minute."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks import server
from benchmarks.byte_server import ByteServer
from benchmarks.process import ROOT, connections
from benchmarks.report import Goal
from dev.harness.airflow_api import FINISHED
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from dev.harness.postgres import Postgres

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The whole system"
WAYS = {
    "floor": "trigger that ends its task on one byte from a socket (floor)",
    "storing": "the same trigger, which also stores an output as XCom (storing floor)",
    "ours": "**this provider: starts and ends in the triggerer, stores output and credits as XCom**",
}
END_SECONDS = 60.0
"""Seconds over which the executions of a crowd end."""

TASKS = 10
"""Number of tasks in a DAG. For each task that starts in the triggerer, both processes of the triggerer read the whole
DAG, and one process sends the DAG to the other. A thousand tasks in one DAG would take minutes to start."""

START_TIMEOUT, END_TIMEOUT = 150.0, 120.0
"""Seconds within which all waits of a crowd must start, and within which the last task must end after the last
execution. Both are several times the normal duration. A crowd that takes longer fails the benchmark."""

PING_INTERVAL = 15.0
"""Seconds between two pings of a stream, as in production."""

CROWD_OFFSET = 100_000
"""Difference between the wait numbers of two successive crowds."""

PAGE_LIMIT = 10_000
"""Maximum number of tasks that Airflow's API lists in one answer."""


@dataclass(frozen=True)
class Started:
    """A crowd whose waits have started.

    :param runs: the numbers of the first waits of the DAG runs, by the id of the run.
    :param seconds: how long it took until all waits had started.
    """

    runs: dict[str, int]
    count: int
    seconds: float


@dataclass(frozen=True)
class Ended:
    """A crowd whose tasks have ended.

    :param latencies: seconds from the end of each execution to the end of its task, if the task has succeeded.
    :param seconds: from the first end of an execution to the last end of a task.
    """

    latencies: list[float]
    seconds: float


class Crowds:
    """Starts crowds of waits and ends their executions, one crowd after the other.

    :param byte_server: ends the tasks of the two floors.
    :param url: URL of the server with the executions of this provider's waits.
    """

    def __init__(self, airflow: AirflowHome, byte_server: ByteServer, url: str) -> None:
        self._airflow = airflow
        self._byte_server = byte_server
        self._url = url
        self._first_number = 0
        self._tasks: Counter[str] = Counter()

    def measure(self, way: str, count: int, seconds: float) -> dict[str, Any]:
        """Start a crowd of `count` waits, end them evenly over `seconds` seconds, and return its figures.

        :raises TimeoutError: if the waits do not start within START_TIMEOUT or do not end within END_TIMEOUT.
        """
        started = self.start(way, count, START_TIMEOUT)
        cpu = self._triggerer_cpu()
        ended = self.end(way, started, seconds, END_TIMEOUT)
        return figures(ended.latencies, count, started.seconds, self._triggerer_cpu() - cpu)

    def start(self, way: str, count: int, timeout: float) -> Started:
        """Start a crowd of `count` waits, and return when all of them wait.

        :raises TimeoutError: if the waits do not start within `timeout` seconds.
        """
        self._first_number += CROWD_OFFSET
        self._tasks[way] += count
        already_waiting, started = self._waiting(way), time.monotonic()
        firsts = range(self._first_number, self._first_number + count, TASKS)
        runs = {
            self._airflow.run(way, {"port": self._byte_server.port, "first": first}).run_id: first for first in firsts
        }
        until(lambda: self._waiting(way) - already_waiting >= count, f"all {count} {way} waits to start", timeout)
        return Started(runs, count, time.monotonic() - started)

    def end(self, way: str, started: Started, seconds: float, timeout: float) -> Ended:
        """End the executions of a crowd evenly over `seconds` seconds, and return when all tasks have ended.

        :raises TimeoutError: if they do not end within `timeout` seconds.
        """
        end_times = self._end_executions(way, started.count, seconds)
        until(lambda: self._all_ended(way), f"all {started.count} {way} tasks to end", timeout, interval=1)
        task_ends = dict(self._task_ends(way, started.runs))
        return Ended(
            [task_end - end_times[number] for number, task_end in task_ends.items()],
            max(task_ends.values(), default=0.0) - min(end_times.values()),
        )

    def _waiting(self, way: str) -> int:
        """Return how many waits have started: open streams of this provider, or connected floor triggers."""
        if way == "ours":
            return int(server.get_json(self._url, "/counts")["streams"])
        return self._byte_server.client_count

    def _end_executions(self, way: str, count: int, seconds: float) -> dict[int, float]:
        """End all executions of a crowd, evenly over some seconds; return the time of each end by the wait's number."""
        end_times: dict[int, float] = {}
        start = time.time()
        for position in range(count):
            time.sleep(max(0.0, start + position * seconds / count - time.time()))
            number = self._first_number + position
            end_times[number] = time.time()
            if way == "ours":
                server.get_json(self._url, f"/end/run-{number}")
            else:
                self._byte_server.send_byte(number)
        return end_times

    def _all_ended(self, way: str) -> bool:
        return bool(self._instances(way, state=sorted(FINISHED), limit=1)["total_entries"] == self._tasks[way])

    def _task_ends(self, way: str, runs: Mapping[str, int]) -> Iterator[tuple[int, float]]:
        """Yield the wait's number and the end time of each task that succeeded."""
        for task in self._instances(way, state="success", limit=PAGE_LIMIT)["task_instances"]:
            if task["dag_run_id"] in runs:
                number = runs[task["dag_run_id"]] + int(task["task_id"].rpartition("_")[2])
                yield number, datetime.fromisoformat(task["end_date"]).astimezone(UTC).timestamp()

    def _instances(self, way: str, **params: Any) -> Any:
        return self._airflow.api.call("GET", f"/dags/{way}/dagRuns/~/taskInstances", **params)

    def _triggerer_cpu(self) -> float:
        """Return the CPU seconds that the triggerer's processes have used so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._airflow.processes("triggerer"))


def figures(latencies: Sequence[float], waits: int, start: float, cpu: float) -> dict[str, Any]:
    """Return the figures of one crowd as JSON; percentiles 1 to 99 and the slowest stand for all latencies.

    :param latencies: seconds from the end of each execution to the end of its task.
    :param waits: number of waits in the crowd.
    :param start: seconds until all waits had started.
    :param cpu: CPU seconds that the triggerer used while the crowd ended.
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
    """Measure a crowd of each way in the same Airflow, after a few waits of each way as a warm-up."""
    count, seconds = (20, 2.0) if smoke else (1000, END_SECONDS)
    server.allow_many_files()  # Airflow's processes inherit the limit
    byte_server = ByteServer()
    environ = {
        "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": str(PAGE_LIMIT),
        "AIRFLOW__TRIGGERER__CAPACITY": "10000",
        "SYSTEM_TASKS": str(TASKS),
        "PYTHONPATH": str(ROOT),
    }
    with byte_server.running(), server.serving(PING_INTERVAL) as url, Postgres() as postgres:
        folders = [ROOT / "benchmarks" / "system_dags"]
        with AirflowHome(folders, database=postgres.url, environ=connections(url) | environ) as airflow:
            crowds = Crowds(airflow, byte_server, url)
            for way in WAYS:
                crowds.measure(way, 2 * TASKS, seconds=1.0)
            return {way: crowds.measure(way, count, seconds) for way in WAYS}


def table(data: Any) -> list[list[str]]:
    """Return the distribution of the latencies of each way."""
    heading = ["way", "waits", "ended", "median, s", "95 %, s", "max, s", "median / floor"]
    rows = [[*heading, "triggerer CPU per end, ms", "all waiting after, s"]]
    for way, crowd in data.items():
        seconds = [f"{figure:.2f}" for figure in (_median(crowd), crowd["percentiles"][94], crowd["slowest"])]
        ratio = f"{_median(crowd) / _median(data['floor']):.1f}"
        cpu = f"{1000 * crowd['cpu']:.0f}"
        counts = [f"{crowd[name]:,}" for name in ("waits", "ended")]
        rows.append([WAYS[way], *counts, *seconds, ratio, cpu, f"{crowd['start']:.0f}"])
    return rows


def _median(crowd: Any) -> float:
    return float(crowd["percentiles"][49])


def goals(data: Any) -> list[Goal]:
    """Return the goals: every wait ends well, and this provider is not much slower than the storing floor."""
    ours, storing = data["ours"], data["storing"]
    return [
        Goal("waits whose task did not succeed", ours["waits"] - ours["ended"], 0, "waits"),
        Goal("median / median of the storing floor", _median(ours) / _median(storing), 1.2, "times"),
        Goal("max / max of the storing floor", ours["slowest"] / storing["slowest"], 2, "times"),
        Goal("triggerer CPU per end / that of the storing floor", ours["cpu"] / storing["cpu"], 2, "times"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw the share of tasks that have ended by the seconds since the end of their execution."""
    axes = figure.subplots()
    for way, crowd in data.items():
        seconds = [0.0, *crowd["percentiles"], crowd["slowest"]]
        shares = [percentile / 100 for percentile in range(101)]
        axes.plot(seconds, shares, label=WAYS[way].replace("*", ""))
    axes.set(xlabel="seconds from COMPLETED to the end of the task", ylabel="share of the tasks", ylim=(0, 1))
    axes.legend()
