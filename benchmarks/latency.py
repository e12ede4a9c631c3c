"""How long after White Rabbit says COMPLETED a task has ended, for each way through Airflow and for Airflow's floor."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.emulator import Emulator
from benchmarks import server
from benchmarks.process import ROOT, connections
from benchmarks.report import Goal
from dev.harness.airflow_api import DagRun, until
from dev.harness.airflow_home import AirflowHome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Latency"
FAST = {
    "floor": ("none", "a trigger that ends its task on a byte from a socket (the limit)"),
    "full": ("none", "**starts and ends in the triggerer**"),
    "end": ("one", "a worker defers, the trigger ends the task"),
    "start": ("one", "starts in the triggerer, a worker resumes"),
    "deferrable": ("two", "a worker defers, a worker resumes"),
}
SLOW = {
    "poke": ("one, held", '`mode="poke"`, every 60 s'),
    "reschedule": ("one a look", '`mode="reschedule"`, every 60 s'),
    "http": ("one, held", "http provider's sensor, every 60 s"),
    "http_deferrable": ("two", "http provider's sensor, deferrable, every 60 s"),
}
WAYS = FAST | SLOW
PAUSE = 0.43
"""Seconds between two ends: apart, so that workers don't queue, and no divisor of the triggerer's second."""

SPREAD = 70.0
"""Seconds over which the ends of the slow ways are spread: more than their interval, so that every phase occurs."""


class Starter:
    """Tells the floor's triggers when to end."""

    def __init__(self) -> None:
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._register, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _register(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[int(await reader.readline())] = writer

    @property
    def waiting(self) -> int:
        """How many triggers wait."""
        return len(self._writers)

    def end(self, number: int) -> None:
        """Let one end."""
        self._loop.call_soon_threadsafe(self._writers[number].write, b"!")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve from a thread."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        yield
        self._loop.call_soon_threadsafe(self._loop.stop)
        thread.join()


def measure(smoke: bool) -> Any:
    """Measure all ways, the slow ones after the others, so that their workers don't get in the way."""
    count = 1 + (2 if smoke else 20)  # the first one warms up
    starter = Starter()
    environ = {
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
        "AIRFLOW__CORE__PARALLELISM": str(3 * count),
        "LATENCY_COUNT": str(count),
        "PYTHONPATH": str(ROOT),
    }
    with starter.serving(), Emulator() as wr, server.serving() as url:
        http = {"AIRFLOW_CONN_HTTP_DEFAULT": connections(url)["AIRFLOW_CONN_HTTP_DEFAULT"]}
        with AirflowHome([ROOT / "benchmarks" / "dags"], environ=wr.environ | http | environ) as airflow:
            ids = {way: [wr.create_execution("WAIT", manual=True) for _ in range(count)] for way in WAYS}
            ids |= {way: [f"run-{way}-{number}" for number in range(count)] for way in ("http", "http_deferrable")}

            def end(way: str, number: int) -> None:
                if way == "floor":
                    starter.end(number)
                elif way.startswith("http"):
                    server.ask(url, f"/end/{ids[way][number]}")
                else:
                    wr.complete(ids[way][number], {"number": number})

            run = airflow.run("latency_fast", {"port": starter.port, **ids})
            until(lambda: starter.waiting == count, "the floor's triggers to wait", 300)
            for identity in (one for way in FAST if way != "floor" for one in ids[way]):
                wr.wait_for_stream(identity, timeout=300)
            found = _end_all(run, FAST, count, PAUSE, end)

            run = airflow.run("latency_slow", ids)
            slow = {one for way in ("poke", "reschedule") for one in ids[way]}
            until(lambda: slow <= {entry.path.split("/")[-1] for entry in wr.requests(kind="record")}, "the looks", 600)
            until(lambda: server.ask(url, "/counts").get("poll", 0) >= 2 * count, "the http sensors' looks", 600)
            return found | _end_all(run, SLOW, count, SPREAD / count / len(SLOW), end)


def _end_all(
    run: DagRun, ways: Mapping[str, Any], count: int, pause: float, end: Callable[[str, int], None]
) -> dict[str, Any]:
    """End the executions of a run one after the other; return the seconds from there to each task's end."""
    ended: dict[str, float] = {}
    for number in range(count):
        for way in ways:
            time.sleep(pause)
            ended[f"{way}_{number}"] = time.time()
            end(way, number)
    run.wait(600)
    latencies: dict[str, list[float]] = {way: [] for way in ways}
    for task in sorted(run.tasks().values(), key=lambda task: int(task.task_id.rpartition("_")[2])):
        if task.state != "success" or task.end_date is None:
            raise RuntimeError(f"{task.task_id} is {task.state}")
        moment = datetime.fromisoformat(task.end_date).astimezone(UTC).timestamp()
        latencies[task.task_id.rpartition("_")[0]].append(moment - ended[task.task_id])
    return {way: {"first": first, "seconds": seconds} for way, (first, *seconds) in latencies.items()}


def table(data: Any) -> list[list[str]]:
    """Return the latency of each way."""
    floor = data["floor"]["seconds"]
    rows = [["way", "workers", "n", "median, s", "min", "max", "median over the limit's", "max over the limit's"]]
    for way, found in data.items():
        workers, what = WAYS[way]
        seconds = found["seconds"]
        middle = statistics.median(seconds)
        figures = [f"{figure:.2f}" for figure in (middle, min(seconds), max(seconds))]
        ratios = [f"{middle / statistics.median(floor):.1f}", f"{max(seconds) / max(floor):.1f}"]
        rows.append([what, workers, str(len(seconds)), *figures, *ratios])
    return rows


def goals(data: Any) -> list[Goal]:
    """Return the goal of the fastest way."""
    ratio = max(data["full"]["seconds"]) / max(data["floor"]["seconds"])
    return [Goal("slowest end that starts and ends in the triggerer over the limit's slowest", ratio, 1.2, "times")]


def plot(data: Any, figure: Figure) -> None:
    """Draw every end."""
    axes = figure.subplots()
    for row, found in enumerate(data.values()):
        axes.plot(found["seconds"], [row] * len(found["seconds"]), "o", alpha=0.4, color="C0")
        axes.plot(statistics.median(found["seconds"]), row, "|", markersize=20, color="black")
    axes.set_yticks(range(len(data)), [WAYS[way][1].replace("*", "").replace("`", "") for way in data])
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="seconds from COMPLETED to the end of the task (logarithmic)")
