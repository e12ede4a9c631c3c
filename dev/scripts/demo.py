"""Run an example DAG on a real Airflow against an emulated White Rabbit, and tell what happens as it happens.

Nothing here knows the story beforehand: every line is something that was seen in the emulator's journal, in Airflow's
API or in a task's log.
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
from dev.harness.airflow_api import FINISHED, DagRun, TaskInstance, until
from dev.harness.airflow_home import AirflowHome

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
DAG = "whiterabbit_long_execution"
MODULE = "WAIT_FOR_EVM_TRANSACTION"
SECONDS = 8
OUTPUT = {"blockNumber": 21_345_678, "success": True}


class Story:
    """Prints each line once, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._told: set[str] = set()

    def tell(self, line: str) -> None:
        """Print a line unless it has been printed."""
        if line not in self._told:
            self._told.add(line)
            print(f"{time.monotonic() - self._start:6.1f} s  {line}", flush=True)


class Watcher:
    """Looks at a run again and again, from White Rabbit's side and from Airflow's.

    :param story: where to tell what is new.
    """

    def __init__(self, wr: Emulator, run: DagRun, story: Story) -> None:
        self._wr = wr
        self._run = run
        self._story = story
        self._deferred = False
        self._slots: list[int] = []

    def follow(self, timeout: float = 120) -> str:
        """Look until the run has ended, and return its state."""

        def ended() -> str | None:
            state = self._run.state
            self._look()
            return state if state in FINISHED else None

        return until(ended, f"{self._run.dag_id} to end", timeout)

    def _look(self) -> None:
        slots = self._run.api.call("GET", "/pools/default_pool")["occupied_slots"]
        tasks = {task.task_id: task for task in self._run.tasks().values()}
        deferred = tasks["wait"].state == "deferred"
        if deferred and self._deferred:
            # Deferred before and after the slots were counted, so they were not the sensor's.
            self._slots.append(slots)
        self._deferred = deferred
        for line in self._facts(tasks):
            self._story.tell(line)

    def _facts(self, tasks: dict[str, TaskInstance]) -> Iterator[str]:
        for entry in self._answered("POST", "/v1/sdk/components"):
            yield f"Task submit asks White Rabbit for {entry.json['module']}: POST {entry.path} → {entry.status}"
        execution_id = self._run.xcom("submit") if tasks["submit"].state == "success" else None
        if execution_id is None:
            return
        yield f"Task submit has ended; execution {execution_id}"
        wait = tasks["wait"].state
        if wait == "deferred":
            yield f"Sensor wait is deferred and its worker free; the triggerer runs {tasks['wait'].trigger}"
        for entry in self._answered("GET", "*/stream"):
            yield f"The triggerer has opened the event stream: GET {entry.path} → {entry.status}"
        for message in self._run.messages("wait"):
            if execution_id in message:
                yield f"Log of wait: {message}"
        if self._slots and wait in ("scheduled", "queued", "running"):
            yield "The trigger has fired: a worker resumes sensor wait"
        if wait in FINISHED:
            yield f"Sensor wait has ended: {wait}"
        if (report := tasks["report"].state) in FINISHED:
            yield f"Task report, which uses the output, has ended: {report}"

    def _answered(self, method: str, path: str) -> list[Entry]:
        return [entry for entry in self._wr.requests(method=method, path=path) if entry.status is not None]

    def figures(self) -> str:
        """Return what it took, counted."""
        posts = len(self._wr.requests(method="POST"))
        streams = len(self._wr.requests(method="GET", path="*/stream"))
        reads = len(self._wr.requests(method="GET")) - streams
        slots = max(self._slots, default=None)
        return (
            f"API calls: {posts} POST, {streams} stream, {reads} GET; "
            f"worker slots held while waiting: {slots} (looked {len(self._slots)} times)"
        )


def watch(airflow: AirflowHome, wr: Emulator, story: Story) -> bool:
    """Run the DAG and tell what can be seen of it; return whether all went well."""
    run: DagRun | None = None
    try:
        run = airflow.run(DAG)
        story.tell(f"A run of DAG {DAG} is triggered")
        watcher = Watcher(wr, run, story)
        state = watcher.follow()
        output = run.xcom("wait")
        story.tell(f"XCom of wait, {type(output).__name__}: {json.dumps(output, ensure_ascii=False)}")
        story.tell(f"XCom of report: {run.xcom('report')}")
        story.tell(f"The run has ended: {state}. {watcher.figures()}")
        good = state == "success" and output == OUTPUT
    except (RuntimeError, TimeoutError) as error:
        story.tell(str(error))
        good = False
    if not good:
        print(airflow.explain(run), file=sys.stderr)
    return good


def demo(story: Story, home: Path | None, ui: bool) -> bool:
    """Run the demo and return whether all went well."""
    with Emulator() as wr:
        wr.script(MODULE, output=OUTPUT, executing_after=SECONDS / 2, after=SECONDS)
        story.tell(f"White Rabbit is emulated at {wr.url}; component {MODULE} will take {SECONDS} s")
        story.tell(f"Airflow {metadata.version('apache-airflow')} is starting, with a database and ports of its own")
        with AirflowHome([EXAMPLES], home=home, environ=wr.environ) as airflow:
            healthy = [name for name, one in airflow.api.health().items() if one["status"] == "healthy"]
            story.tell(f"Airflow is ready in {airflow.home}, healthy: {', '.join(healthy)}")
            good = watch(airflow, wr, story)
            if ui:
                story.tell(f"Airflow's web UI is open at {airflow.url}/dags/{DAG} until you press Ctrl-C")
                threading.Event().wait()
            story.tell("Airflow and the emulator are stopping")
        return good


def main() -> int:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(prog="python -m dev.scripts.demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="keep Airflow's web UI open after the run, until Ctrl-C")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="run Airflow in this directory and keep it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    story = Story()
    try:
        good = demo(story, options.keep, options.ui)
    except KeyboardInterrupt:
        return 0 if options.ui else 130
    except (RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    story.tell("Done, nothing is left running")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
