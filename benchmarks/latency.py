"""Latency: seconds from the end of an execution to the end of its task, for each way to wait on a real Airflow."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.emulator import Emulator
from benchmarks import server
from benchmarks.byte_server import ByteServer
from benchmarks.process import ROOT, connections
from benchmarks.report import Goal
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.modules import MODULES
from dev.harness.polling import until

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Latency"
FAST = {
    "floor": ("none", "trigger that ends its task on one byte from a socket (floor)"),
    "full": ("none", "**starts and ends in the triggerer**"),
    "end": ("one", "starts in a worker, ends in the triggerer"),
    "start": ("one", "starts in the triggerer, ends in a worker"),
    "deferrable": ("two", "starts in a worker, ends in a worker"),
}
SLOW = {
    "poke": ("one, occupied", '`mode="poke"`, every 60 s'),
    "reschedule": ("one per poke", '`mode="reschedule"`, every 60 s'),
    "http": ("one, occupied", "http provider's sensor, every 60 s"),
    "http_deferrable": ("two", "http provider's sensor, deferrable, every 60 s"),
}
WAYS = FAST | SLOW
"""Worker processes and description of each way: the ways that follow an event, and the ways that poll."""

PAUSE = 0.43
"""Seconds between two ends. The pause keeps workers from queueing, and does not divide the triggerer's cycle of 1 s."""

SPREAD = 70.0
"""Seconds over which the executions of the polling ways end; longer than their 60 s interval, to cover every phase."""


def measure(smoke: bool) -> Any:
    """Measure the fast ways, then the polling ways, whose workers would otherwise compete with the fast ways."""
    count = 1 + (2 if smoke else 20)  # the first wait of each way is a warm-up
    byte_server = ByteServer()
    environ = {
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
        "AIRFLOW__CORE__PARALLELISM": str(3 * count),
        "LATENCY_COUNT": str(count),
        "PYTHONPATH": str(ROOT),
    }
    with byte_server.running(), Emulator(components=MODULES) as emulator, server.serving() as url:
        http = {"AIRFLOW_CONN_HTTP_DEFAULT": connections(url)["AIRFLOW_CONN_HTTP_DEFAULT"]}
        with AirflowHome([ROOT / "benchmarks" / "dags"], environ=emulator.environ | http | environ) as airflow:
            ids = {way: [emulator.create_execution("WAIT", manual=True) for _ in range(count)] for way in WAYS}
            ids |= {way: [f"run-{way}-{number}" for number in range(count)] for way in ("http", "http_deferrable")}

            def end_execution(way: str, number: int) -> None:
                if way == "floor":
                    byte_server.send_byte(number)
                elif way.startswith("http"):
                    server.get_json(url, f"/end/{ids[way][number]}")
                else:
                    emulator.complete(ids[way][number], {"number": number})

            run = airflow.run("latency_fast", {"port": byte_server.port, **ids})
            until(lambda: byte_server.client_count == count, "the triggers of the floor to connect", 300)
            for way in FAST:
                for execution_id in ids[way] if way != "floor" else ():
                    emulator.wait_for_stream(execution_id, timeout=300)
            latencies = _end_all(run, FAST, count, PAUSE, end_execution)

            run = airflow.run("latency_slow", ids)
            polled = {execution_id for way in ("poke", "reschedule") for execution_id in ids[way]}
            until(lambda: polled <= _read_ids(emulator), "each polling sensor's first read", 600)
            until(
                lambda: server.get_json(url, "/counts").get("poll", 0) >= 2 * count,
                "the http sensors' first polls",
                600,
            )
            return latencies | _end_all(run, SLOW, count, SPREAD / count / len(SLOW), end_execution)


def _read_ids(emulator: Emulator) -> set[str]:
    """Return the ids of the executions whose record has been read."""
    return {entry.path.split("/")[-1] for entry in emulator.requests(kind="record")}


def _end_all(
    run: DagRun, ways: Mapping[str, Any], count: int, pause: float, end_execution: Callable[[str, int], None]
) -> dict[str, Any]:
    """End the executions of a DAG run one after the other; return the seconds from each end to the end of its task.

    :param ways: the ways in the DAG, by name.
    :param count: number of executions of each way.
    :param pause: seconds between two ends.
    :param end_execution: function that ends one execution, given the way and the execution's number.
    """
    end_times: dict[str, float] = {}
    for number in range(count):
        for way in ways:
            time.sleep(pause)
            end_times[f"{way}_{number}"] = time.time()
            end_execution(way, number)
    run.wait(600)
    latencies: dict[str, list[float]] = {way: [] for way in ways}
    for task in sorted(run.tasks().values(), key=lambda task: int(task.task_id.rpartition("_")[2])):
        if task.state != "success" or task.end_date is None:
            raise RuntimeError(f"{task.task_id} is {task.state}")
        task_end = datetime.fromisoformat(task.end_date).astimezone(UTC).timestamp()
        latencies[task.task_id.rpartition("_")[0]].append(task_end - end_times[task.task_id])
    return {way: {"first": first, "seconds": seconds} for way, (first, *seconds) in latencies.items()}


def table(data: Any) -> list[list[str]]:
    """Return the latencies of each way."""
    floor = data["floor"]["seconds"]
    rows = [["way", "workers", "waits", "median, s", "min, s", "max, s", "median / floor", "max / floor"]]
    for way, latencies in data.items():
        workers, description = WAYS[way]
        seconds = latencies["seconds"]
        median = statistics.median(seconds)
        figures = [f"{figure:.2f}" for figure in (median, min(seconds), max(seconds))]
        ratios = [f"{median / statistics.median(floor):.1f}", f"{max(seconds) / max(floor):.1f}"]
        rows.append([description, workers, str(len(seconds)), *figures, *ratios])
    return rows


def goals(data: Any) -> list[Goal]:
    """Return the goal for the way that starts and ends in the triggerer."""
    ratio = max(data["full"]["seconds"]) / max(data["floor"]["seconds"])
    return [Goal("max / floor of the way that starts and ends in the triggerer", ratio, 1.2, "times")]


def plot(data: Any, figure: Figure) -> None:
    """Draw a dot for each wait and a bar for each median."""
    axes = figure.subplots()
    for row, latencies in enumerate(data.values()):
        axes.plot(latencies["seconds"], [row] * len(latencies["seconds"]), "o", alpha=0.4, color="C0")
        axes.plot(statistics.median(latencies["seconds"]), row, "|", markersize=12, color="black")
    axes.set_yticks(range(len(data)), [WAYS[way][1].replace("*", "").replace("`", "") for way in data])
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="seconds from COMPLETED to the end of the task (logarithmic)")
