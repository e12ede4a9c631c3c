"""Where the cases are played, many at once: Airflow, White Rabbit, and what is seen of both."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

from airflow_provider_whiterabbit.emulator import Emulator, Entry
from airflow_provider_whiterabbit.emulator.effects import Hold
from airflow_provider_whiterabbit.emulator.effects.base import Call, Effect, Fault
from dev.harness.airflow_api import FINISHED, DagRun, TaskInstance
from dev.harness.airflow_home import AirflowHome

SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "16",
    # A task whose supervisor died is noticed by the heartbeats that are missing, after five minutes by default.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    # A scheduler that starts resets the tasks of one that was not heard of for that long, 30 seconds by default. It
    # shall not look for others later: slow for a moment, it would believe itself dead.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3600",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
}
AT_ONCE = 6
"""How many tasks may be on their way to where they stop: SQLite lets one write at a time."""

UNCERTAIN = re.compile(r"It is not known whether White Rabbit got .* Then clear this task\.")

T = TypeVar("T")
Play = Generator[Callable[[], object], None, T]
"""A case being played: yields what it waits for, a condition that is looked at again and again."""


@dataclass
class HoldFirst(Effect):
    """Holds the first submission of a module, or its answer, until the fault is released.

    :param before: the submission is held before it is processed.
    """

    module: str
    before: bool
    held: bool = False

    async def apply(self, call: Call) -> None:
        """Hold it, if it is the one."""
        if self.held or json.loads(call.scope["body"])["module"] != self.module:
            await call.proceed()
            return
        self.held = True
        await Hold(self.before).apply(call)


class Stage:
    """Airflow and White Rabbit, and the task instances as they were at the last look.

    :param folder: where the tasks tell their process ids.
    """

    def __init__(self, wr: Emulator, airflow: AirflowHome, folder: Path) -> None:
        self.wr = wr
        self.airflow = airflow
        self.folder = folder
        self.faults: dict[str, Fault] = {}
        self._killed: set[str] = set()
        self._tasks: dict[str, TaskInstance] = {}

    def play(self, plays: Mapping[str, Play[T]], timeout: float) -> dict[str, T | BaseException]:
        """Play all at once; return what became of each, an exception for what went wrong or took too long."""
        ends: dict[str, T | BaseException] = {}
        waiting: dict[str, Callable[[], object]] = dict.fromkeys(plays, lambda: True)
        deadline = time.monotonic() + timeout
        while waiting:
            self._look()
            for name, condition in list(waiting.items()):
                try:
                    if condition():
                        waiting[name] = next(plays[name])
                    elif time.monotonic() > deadline:
                        raise TimeoutError(f"not within {timeout:g} s")
                except StopIteration as end:
                    ends[name] = end.value
                except Exception as error:
                    ends[name] = error
                if name in ends:
                    del waiting[name]
            time.sleep(0.2)
        return ends

    def _look(self) -> None:
        answer = self.airflow.api.call("GET", "/dags/~/dagRuns/~/taskInstances", limit=100)
        self._tasks = {item["dag_run_id"]: TaskInstance.from_dict(item) for item in answer["task_instances"]}

    def task(self, run: DagRun) -> TaskInstance:
        """Return the run's task."""
        return self._tasks[run.run_id]

    def ended(self, run: DagRun) -> bool:
        """Whether the run's task has."""
        return run.run_id in self._tasks and self.task(run).state in FINISHED

    def message(self, run: DagRun) -> str | None:
        """Return what the run's last try said of an uncertain submission."""
        lines = "\n".join(run.messages("pay", attempt=self.task(run).try_number))
        found = UNCERTAIN.search(lines)
        return found and found[0]

    # --- White Rabbit

    def submissions(self, module: str) -> list[Entry]:
        """Return the POSTs that arrived."""
        return [entry for entry in self.wr.requests(kind="submit") if entry.json["module"] == module]

    def executions(self, module: str) -> list[dict[str, Any]]:
        """Return the executions, oldest first."""
        return [record for record in self.wr.executions if record["module"] == module]

    def reads(self, module: str, *, streams: bool = False) -> int:
        """Return how often the record of the module's last execution was read, or its stream opened."""
        records = self.executions(module)
        if not records:
            return 0
        path = f"*/{records[-1]['id']}/stream" if streams else f"*/{records[-1]['id']}"
        return sum(entry.status is not None for entry in self.wr.requests(method="GET", path=path))

    # --- processes

    def stopped(self, module: str, point: str) -> bool:
        """Whether the task has reached the point where it stops."""
        return (self.folder / f"{module}.{point}").exists()

    def process(self, module: str) -> psutil.Process:
        """Return the process that executes the task."""
        return psutil.Process(int((self.folder / f"{module}.pid").read_text()))

    def kill(self, module: str, killed: str) -> psutil.Process:
        """Kill the task's process, its supervisor, or both; return the former."""
        task = self.process(module)
        supervisor = task.parent()
        leader, *others = self.airflow.processes("scheduler")
        if supervisor not in others or task not in others:
            raise RuntimeError(f"{task} and {supervisor} are not what was to be killed; the scheduler is {leader}")
        for process in {"task": [task], "supervisor": [supervisor], "both": [supervisor, task]}[killed]:
            process.kill()
        return task

    def let_go(self, module: str) -> None:
        """Let an orphan go on where it stopped, and White Rabbit with what it holds."""
        (self.folder / f"{module}.go").touch()
        if fault := self.faults.get(module):
            self.wr.release(fault)

    def kill_component(self, component: str) -> bool:
        """Kill a component and all that it started, unless that was done before; return whether it was not."""
        if component in self._killed:
            return False
        self._killed.add(component)
        self.airflow.kill(component)
        return True

    def unhealthy(self, component: str) -> bool:
        """Whether a component was not heard of for so long that others take over its work."""
        return self.airflow.api.health().get(component, {}).get("status") == "unhealthy"


def dead(process: psutil.Process) -> bool:
    """Whether a process has ended."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True
