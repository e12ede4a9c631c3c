"""A thousand waits in one triggerer of a real Airflow on PostgreSQL, all of which end within a minute."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.emulator import Emulator
from benchmarks.latency import Starter
from benchmarks.process import ROOT
from benchmarks.report import Goal
from scripts.airflow_api import DagRun, until
from scripts.airflow_home import AirflowHome
from scripts.postgres import Postgres

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The whole system"
WAYS = {
    "floor": "a trigger that ends its task on a byte from a socket (the limit)",
    "streaming": "**starts and ends in the triggerer, output as XCom**",
}
MINUTE = 60.0
"""Seconds over which the executions end."""


def measure(smoke: bool) -> Any:
    """Measure the limit, then ours, in the same Airflow."""
    count = 20 if smoke else 1000
    starter = Starter()
    environ = {
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "10000",
        "AIRFLOW__TRIGGERER__CAPACITY": "10000",
        "SYSTEM_COUNT": str(count),
        "PYTHONPATH": str(ROOT),
    }
    with starter.serving(), Emulator() as wr, Postgres() as postgres:
        folders = [ROOT / "benchmarks" / "system_dags"]
        with AirflowHome(folders, database=postgres.url, environ=wr.environ | environ) as airflow:
            run = airflow.run("floor", {"port": starter.port})
            until(lambda: starter.waiting == count, "the floor's triggers to wait", 600)
            found = {"floor": _end_all(airflow, run, count, starter.end)}

            ids = [wr.create_execution("WAIT", manual=True) for _ in range(count)]
            run = airflow.run("streaming", {"ids": ids})
            for identity in ids:
                wr.wait_for_stream(identity, timeout=600)
            return found | {
                "streaming": _end_all(airflow, run, count, lambda number: wr.complete(ids[number], {"number": number}))
            }


def _end_all(airflow: AirflowHome, run: DagRun, count: int, end: Callable[[int], object]) -> dict[str, Any]:
    """End all evenly over the minute; return the seconds from there to each task's end, and what they cost."""
    before = _cpu_seconds(airflow)
    start = time.time()
    ended: list[float] = []
    for number in range(count):
        time.sleep(max(0.0, start + number * MINUTE / count - time.time()))
        ended.append(time.time())
        end(number)
    run.wait(900)
    cpu = _cpu_seconds(airflow) - before
    seconds = []
    for task in run.tasks().values():
        if task.state != "success" or task.end_date is None:
            raise RuntimeError(f"{task.task_id} is {task.state}")
        moment = datetime.fromisoformat(task.end_date).astimezone(UTC).timestamp()
        seconds.append(moment - ended[int(task.task_id.rpartition("_")[2])])
    return {"seconds": sorted(seconds), "triggerer_cpu_seconds": cpu}


def _cpu_seconds(airflow: AirflowHome) -> float:
    """Return the CPU time that the triggerer's processes have used so far."""
    return sum(sum(process.cpu_times()[:2]) for process in airflow.processes("triggerer"))


def table(data: Any) -> list[list[str]]:
    """Return the distribution of each way."""
    head = ["way", "waits", "median, s", "95 %", "max", "median over the limit's", "triggerer's CPU, ms a wait"]
    rows = [head]
    for way, found in data.items():
        seconds = found["seconds"]
        middle = statistics.median(seconds)
        figures = [f"{figure:.2f}" for figure in (middle, _percentile(seconds, 95), max(seconds))]
        ratio = f"{middle / statistics.median(data['floor']['seconds']):.1f}"
        cpu = f"{1000 * found['triggerer_cpu_seconds'] / len(seconds):.0f}"
        rows.append([WAYS[way], str(len(seconds)), *figures, ratio, cpu])
    return rows


def _percentile(ordered: list[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def goals(data: Any) -> list[Goal]:
    """Return none: all of them ended, or there would be no figures; the rest is Airflow's."""
    return []


def plot(data: Any, figure: Figure) -> None:
    """Draw the share of waits whose task has ended after so many seconds."""
    axes = figure.subplots()
    for way, found in data.items():
        seconds = found["seconds"]
        shares = [(number + 1) / len(seconds) for number in range(len(seconds))]
        axes.plot(seconds, shares, label=WAYS[way].replace("*", ""))
    axes.set(xlabel="seconds from COMPLETED to the end of the task", ylabel="share of the tasks", ylim=(0, 1))
    axes.legend()
