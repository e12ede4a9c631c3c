"""How long after White Rabbit says COMPLETED a task has ended, for each way through Airflow and for Airflow's floor."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_whiterabbit.emulator import Emulator
from scripts.airflow_api import DagRun, until
from scripts.airflow_home import AirflowHome

ROOT = Path(__file__).resolve().parents[1]
WORKERS = {
    "floor": ("none", "a trigger that ends its task on a byte from a socket"),
    "full": ("none", "start and end in the triggerer"),
    "end": ("one", "a worker defers, the trigger ends the task"),
    "start": ("one", "start in the triggerer, a worker resumes"),
    "deferrable": ("two", "a worker defers, a worker resumes"),
}
PAUSE = 0.43
"""Seconds between two ends: apart, so that workers don't queue, and no divisor of the triggerer's second."""


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


def measure(count: int) -> dict[str, list[float]]:
    """Return the seconds from COMPLETED to the task's end, by path; first that of one more wait, which warms up.

    The first task that a triggerer ends with an XCom pays for what Airflow imports then, some seconds.
    """
    count += 1
    starter = Starter()
    environ = {"LATENCY_COUNT": str(count), "PYTHONPATH": str(ROOT), "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000"}
    with (
        starter.serving(),
        Emulator() as wr,
        AirflowHome([ROOT / "benchmarks" / "dags"], environ=wr.environ | environ) as airflow,
    ):
        paths = [path for path in WORKERS if path != "floor"]
        ids = {path: [wr.create_execution("WAIT", manual=True) for _ in range(count)] for path in paths}
        run = airflow.run("latency", {"port": starter.port, **ids})
        until(lambda: starter.waiting == count, "the floor's triggers to wait", 300)
        for identity in (one for path in paths for one in ids[path]):
            wr.wait_for_stream(identity, timeout=300)
        ended: dict[str, float] = {}
        for number in range(count):
            for path in WORKERS:
                time.sleep(PAUSE)
                ended[f"{path}_{number}"] = time.time()
                if path == "floor":
                    starter.end(number)
                else:
                    wr.complete(ids[path][number], {"number": number})
        run.wait(300)
        return _latencies(run, ended)


def _latencies(run: DagRun, ended: dict[str, float]) -> dict[str, list[float]]:
    latencies: dict[str, list[float]] = {path: [] for path in WORKERS}
    tasks = run.tasks().values()
    for task in sorted(tasks, key=lambda task: int(task.task_id.rpartition("_")[2])):
        if task.state != "success" or task.end_date is None:
            raise RuntimeError(f"{task.task_id} is {task.state}")
        end = datetime.fromisoformat(task.end_date).astimezone(UTC).timestamp()
        latencies[task.task_id.rpartition("_")[0]].append(end - ended[task.task_id])
    return latencies


def main() -> int:
    """Measure and print a table; exit status 1 if the full path is not within 1.2 of the floor's spread."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="waits of each kind (default: %(default)s)")
    latencies = measure(parser.parse_args().count)
    first = {path: values.pop(0) for path, values in latencies.items()}
    floor = latencies["floor"]
    print(
        f"{'path':<11} {'workers':<8} {'n':>3} {'median':>7} {'min':>6} {'max':>6}   s; median and max over the floor's"
    )
    for path, values in latencies.items():
        workers, what = WORKERS[path]
        middle = statistics.median(values)
        seconds = f"{middle:7.2f} {min(values):6.2f} {max(values):6.2f}"
        ratios = f"{middle / statistics.median(floor):4.1f} {max(values) / max(floor):4.1f}"
        print(f"{path:<11} {workers:<8} {len(values):>3} {seconds}   {ratios}  {what}")
    print("The first of each, not counted above:", ", ".join(f"{path} {value:.2f}" for path, value in first.items()))
    ratio = max(latencies["full"]) / max(floor)
    print(f"The full path's slowest end takes {ratio:.2f} of the floor's slowest; at most 1.20 is the aim.")
    return 0 if ratio <= 1.2 else 1


if __name__ == "__main__":
    sys.exit(main())
