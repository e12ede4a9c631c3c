"""Run an example DAG on a real Airflow against an emulated White Rabbit, and print each event when it happens.

Every printed line reports something that the script has read from the emulator's journal, from Airflow's API or from a
task's log.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from airflow_provider_whiterabbit.emulator import Emulator, Entry
from dev.harness.airflow_api import FINISHED, DagRun, TaskInstance
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
DAG = "whiterabbit_long_execution"
MODULE = "WAIT_FOR_EVM_TRANSACTION"
EXECUTION_SECONDS = 4
OUTPUT = {"blockNumber": "46147", "status": "success"}


class Timeline:
    """Prints each line once, with the seconds since the start of the demo."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._printed: set[str] = set()

    def print(self, line: str) -> None:
        """Print a line that has not been printed before."""
        if line not in self._printed:
            self._printed.add(line)
            print(f"{time.monotonic() - self._start:6.1f} s  {line}", flush=True)


class RunWatcher:
    """Polls the state of a DAG run, in Airflow and in the emulator, and prints what has changed.

    It also ends the execution, but not before the triggerer waits for it, however slow the machine is.
    """

    def __init__(self, wr: Emulator, run: DagRun, timeline: Timeline) -> None:
        self._wr = wr
        self._run = run
        self._timeline = timeline
        self._was_deferred = False
        self._slots_while_deferred: list[int] = []
        self._is_started = self._is_completed = False

    def follow(self, timeout: float = 120) -> str:
        """Poll until the run has ended; return the run's final state."""

        def final_state() -> str | None:
            state = self._run.state
            self._poll()
            return state if state in FINISHED else None

        return until(final_state, f"{self._run.dag_id} to end", timeout)

    def _poll(self) -> None:
        occupied_slots = self._run.api.call("GET", "/pools/default_pool")["occupied_slots"]
        tasks = {task.task_id: task for task in self._run.tasks().values()}
        is_deferred = tasks["wait"].state == "deferred"
        if is_deferred and self._was_deferred:
            # The sensor was deferred before and after the count, so none of these slots is the sensor's.
            self._slots_while_deferred.append(occupied_slots)
        self._was_deferred = is_deferred
        for line in self._events(tasks):
            self._timeline.print(line)
        for entry in self._answered("GET", "*/stream"):
            self._advance(entry)

    def _advance(self, stream: Entry) -> None:
        """Start and complete the execution of a stream when it is due, and when the waiting task has been seen."""
        execution_id = stream.path.split("/")[-2]
        seconds = time.monotonic() - stream.monotonic
        if not self._is_started and seconds >= EXECUTION_SECONDS / 2:
            self._wr.start(execution_id)
            self._is_started = True
        elif not self._is_completed and seconds >= EXECUTION_SECONDS and self._slots_while_deferred:
            self._wr.complete(execution_id, OUTPUT)
            self._is_completed = True

    def _events(self, tasks: dict[str, TaskInstance]) -> Iterator[str]:
        for entry in self._answered("POST", "/v1/sdk/components"):
            yield f"Task submit submits {entry.json['module']} to White Rabbit: POST {entry.path} → {entry.status}"
        execution_id = self._run.xcom("submit") if tasks["submit"].state == "success" else None
        if execution_id is None:
            return
        yield f"Task submit has ended and returned the id of execution {execution_id}"
        wait = tasks["wait"].state
        if wait == "deferred":
            yield f"Sensor wait is deferred and occupies no worker; the triggerer runs {tasks['wait'].trigger}"
        for entry in self._answered("GET", "*/stream"):
            yield f"The triggerer has opened the event stream: GET {entry.path} → {entry.status}"
        for message in self._run.messages("wait"):
            if execution_id in message:
                yield f"Log of wait: {message}"
        if self._slots_while_deferred and wait in ("scheduled", "queued", "running"):
            yield "The trigger has fired, and a worker resumes sensor wait"
        if wait in FINISHED:
            yield f"Sensor wait has ended: {wait}"
        if (report := tasks["report"].state) in FINISHED:
            yield f"Task report, which uses the output, has ended: {report}"

    def _answered(self, method: str, path: str) -> list[Entry]:
        return [entry for entry in self._wr.requests(method=method, path=path) if entry.status is not None]

    def figures(self) -> str:
        """Return the numbers of API calls and of worker slots that the run has used."""
        posts = len(self._wr.requests(method="POST"))
        streams = len(self._wr.requests(method="GET", path="*/stream"))
        reads = len(self._wr.requests(method="GET")) - streams
        slots = max(self._slots_while_deferred, default=None)
        return (
            f"API calls: {posts} POST, {streams} stream, {reads} GET; "
            f"worker slots held while waiting: {slots} (counted {len(self._slots_while_deferred)} times)"
        )


def run_example(airflow: AirflowHome, wr: Emulator, timeline: Timeline) -> bool:
    """Run the example DAG and print its events; return whether the run has succeeded with the right output."""
    run: DagRun | None = None
    try:
        run = airflow.run(DAG)
        timeline.print(f"A run of DAG {DAG} is triggered")
        watcher = RunWatcher(wr, run, timeline)
        state = watcher.follow()
        output = run.xcom("wait")
        timeline.print(f"XCom of wait, {type(output).__name__}: {json.dumps(output, ensure_ascii=False)}")
        timeline.print(f"XCom of report: {run.xcom('report')}")
        timeline.print(f"The run has ended: {state}. {watcher.figures()}")
        succeeded = state == "success" and output == OUTPUT
    except (RuntimeError, TimeoutError) as error:
        timeline.print(str(error))
        succeeded = False
    if not succeeded:
        print(airflow.explain(run), file=sys.stderr)
    return succeeded


def demo(timeline: Timeline, home: Path | None, ui: bool) -> bool:
    """Run the demo and return whether it has succeeded.

    :param home: Airflow's home directory, which is kept; None for a temporary directory.
    :param ui: keep Airflow's web UI open after the run, until Ctrl-C.
    """
    with Emulator() as wr:
        wr.script(MODULE, manual=True)
        ends = f"{MODULE} ends {EXECUTION_SECONDS} s after the triggerer has begun to wait for it"
        timeline.print(f"White Rabbit is emulated at {wr.url}; component {ends}")
        timeline.print(f"Airflow {metadata.version('apache-airflow')} is starting with its own database and ports")
        with AirflowHome([EXAMPLES], home=home, environ=wr.environ) as airflow:
            healthy = [name for name, health in airflow.api.health().items() if health["status"] == "healthy"]
            timeline.print(f"Airflow is ready in {airflow.home}, healthy: {', '.join(healthy)}")
            succeeded = run_example(airflow, wr, timeline)
            if ui:
                timeline.print(f"Airflow's web UI is open at {airflow.url}/dags/{DAG} until you press Ctrl-C")
                threading.Event().wait()
            timeline.print("Airflow and the emulator are stopping")
        return succeeded


def main() -> int:
    """Run the demo from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m dev.scripts.demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="keep Airflow's web UI open after the run, until Ctrl-C")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="run Airflow in this directory and keep it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    timeline = Timeline()
    try:
        succeeded = demo(timeline, options.keep, options.ui)
    except KeyboardInterrupt:
        return 0 if options.ui else 130
    except (RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    timeline.print("Done: no process is left running")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
