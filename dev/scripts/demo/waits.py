"""The operator beside the sensor: the example DAG waits for two executions, and no worker waits with it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

from airflow_provider_whiterabbit.emulator import Emulator, Entry, Script
from dev.harness.airflow_api import FINISHED, DagRun, TaskInstance
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from dev.scripts.demo.timeline import MAX_WAIT, Timeline, log_lines

DAG = "whiterabbit_long_execution"
MODULE = "WAIT_FOR_EVM_TRANSACTION"
EXECUTION_SECONDS = 4
OUTPUT = {"blockNumber": "46147", "status": "success"}
WAITS = {"execute": "Operator", "wait": "Sensor"}
"""The tasks that wait for an execution, and what they are."""


class RunWatcher:
    """Polls the state of a DAG run, in Airflow and in the emulator, and prints what has changed.

    It also ends the executions, but not before the triggerer waits for both, however slow the machine is.
    """

    def __init__(self, wr: Emulator, run: DagRun, timeline: Timeline) -> None:
        self._wr = wr
        self._run = run
        self._timeline = timeline
        self._were_deferred = False
        self._slots_while_deferred: list[int] = []
        self._started: set[str] = set()
        self._completed: set[str] = set()

    def follow(self, timeout: float = MAX_WAIT) -> str:
        """Poll until the run has ended; return the run's final state."""

        def final_state() -> str | None:
            state = self._run.state
            self._poll()
            return state if state in FINISHED else None

        return until(final_state, f"{self._run.dag_id} to end", timeout)

    def _poll(self) -> None:
        occupied_slots = self._run.api.call("GET", "/pools/default_pool")["occupied_slots"]
        tasks = {task.task_id: task for task in self._run.tasks().values()}
        are_deferred = all(tasks[task_id].state == "deferred" for task_id in WAITS)
        if are_deferred and self._were_deferred:
            # Both tasks were deferred before and after the count, so none of these slots is theirs.
            self._slots_while_deferred.append(occupied_slots)
        self._were_deferred = are_deferred
        for line in self._events(tasks):
            self._timeline.print(line)
        for entry in self._answered("GET", "*/stream"):
            self._advance(entry)

    def _advance(self, stream: Entry) -> None:
        """Start and complete the execution of a stream when it is due, and when both tasks have been seen waiting."""
        execution_id = stream.path.split("/")[-2]
        seconds = time.monotonic() - stream.monotonic
        if execution_id not in self._started and seconds >= EXECUTION_SECONDS / 2:
            self._wr.start(execution_id)
            self._started.add(execution_id)
        elif execution_id not in self._completed and seconds >= EXECUTION_SECONDS and self._slots_while_deferred:
            self._wr.complete(execution_id, OUTPUT)
            self._completed.add(execution_id)

    def _events(self, tasks: dict[str, TaskInstance]) -> Iterator[str]:
        for entry in self._answered("POST", "/v1/sdk/components"):
            yield f"White Rabbit gets {entry.json['module']}: POST {entry.path} → {entry.status}"
        yield from log_lines(self._run, "submit")
        if tasks["submit"].state == "success":
            yield f"Task submit has ended and returned the id of execution {self._run.xcom('submit')}"
        for entry in self._answered("GET", "*/stream"):
            yield f"The triggerer has opened an event stream: GET {entry.path} → {entry.status}"
        for task_id, kind in WAITS.items():
            yield from self._events_of(tasks[task_id], kind)
        if (report := tasks["report"].state) in FINISHED:
            yield f"Task report, which uses both outputs, has ended: {report}"

    def _events_of(self, task: TaskInstance, kind: str) -> Iterator[str]:
        yield from log_lines(self._run, task.task_id)
        if task.state == "deferred":
            yield f"{kind} {task.task_id} is deferred and occupies no worker; the triggerer runs {task.trigger}"
        if self._slots_while_deferred and task.state in ("scheduled", "queued", "running"):
            yield f"The trigger has fired, and a worker resumes {kind.lower()} {task.task_id}"
        if task.state in FINISHED:
            yield f"{kind} {task.task_id} has ended: {task.state}"

    def _answered(self, method: str, path: str) -> list[Entry]:
        return [entry for entry in self._wr.requests(method=method, path=path) if entry.status is not None]

    def figures(self) -> str:
        """Return the numbers of API calls and of worker slots that the run has used."""
        posts = len(self._wr.requests(method="POST"))
        streams = len(self._wr.requests(method="GET", path="*/stream"))
        reads = len(self._wr.requests(method="GET")) - streams
        slots = max(self._slots_while_deferred, default=None)
        return (
            f"API calls for two executions: {posts} POST, {streams} streams, {reads} GET; "
            f"worker slots held while waiting: {slots} (counted {len(self._slots_while_deferred)} times)"
        )


def prepare(wr: Emulator) -> str:
    """Let White Rabbit's component wait for the demo; return what was prepared.

    The executions of further runs, which a person may trigger in the web UI, end by themselves.
    """
    wr.script(MODULE, Script(manual=True, times=len(WAITS)), Script(output=OUTPUT, after=EXECUTION_SECONDS))
    return f"component {MODULE} ends {EXECUTION_SECONDS} s after the triggerer has begun to wait for it"


def show(airflow: AirflowHome, wr: Emulator, timeline: Timeline) -> bool:
    """Run the example DAG and print its events; return whether the run has succeeded with the right outputs."""
    run: DagRun | None = None
    try:
        run = airflow.run(DAG)
        timeline.print(f"A run of DAG {DAG} is triggered")
        watcher = RunWatcher(wr, run, timeline)
        state = watcher.follow()
        outputs = [run.xcom(task_id) for task_id in WAITS]
        for task_id, output in zip(WAITS, outputs, strict=True):
            timeline.print(f"XCom of {task_id}, {type(output).__name__}: {json.dumps(output, ensure_ascii=False)}")
        timeline.print(f"XCom of report: {run.xcom('report')}")
        timeline.print(f"The run has ended: {state}. {watcher.figures()}")
        succeeded = state == "success" and outputs == [OUTPUT, OUTPUT]
    except (RuntimeError, TimeoutError) as error:
        timeline.print(str(error))
        succeeded = False
    if not succeeded:
        print(airflow.explain(run), file=sys.stderr)
    return succeeded
