"""The testbed of the kills: a real Airflow, the emulator, the tasks' processes, and what can be observed of them."""

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
from airflow_provider_whiterabbit.emulator.effects import Call, Effect, Fault, Hold
from dev.harness.airflow_api import FINISHED, DagRun, TaskInstance
from dev.harness.airflow_home import AirflowHome

SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "16",
    # Airflow notices by missing heartbeats that a task's supervisor has died; by default after five minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    # A starting scheduler resets the tasks of a scheduler without heartbeats for that long (default: 30 seconds). It
    # must not check again later: a scheduler that is slow for a moment would take itself for dead.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3600",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
}

UNCERTAIN_MESSAGE = re.compile(r"It is not known whether[^\n]*/state-store/[^\n]*")

T = TypeVar("T")
Steps = Generator[Callable[[], object], None, T]
"""The steps of a case, as a generator: it yields a condition, and continues when the condition has become true."""


@dataclass
class HoldFirst(Effect):
    """Holds the first submission of a module, or the answer to it, until the fault is released.

    :param before: True to hold the submission before the emulator processes it, False to hold the answer.
    """

    module: str
    before: bool
    has_held: bool = False

    async def apply(self, call: Call) -> None:
        """Hold this request if it is the first submission of the module."""
        if self.has_held or json.loads(call.scope["body"])["module"] != self.module:
            await call.proceed()
            return
        self.has_held = True
        await Hold(self.before).apply(call)


class Testbed:
    """Airflow, the emulator, and the state of all task instances at the last poll.

    :param folder: folder in which the tasks write their process ids.
    """

    def __init__(self, wr: Emulator, airflow: AirflowHome, folder: Path) -> None:
        self.wr = wr
        self.airflow = airflow
        self.folder = folder
        self.faults: dict[str, Fault] = {}
        self._killed: set[str] = set()
        self._tasks: dict[str, TaskInstance] = {}

    def run_concurrently(self, steps: Mapping[str, Steps[T]], timeout: float) -> dict[str, T | BaseException]:
        """Run the steps of many cases concurrently.

        :param steps: the steps of each case, by the case's module.
        :param timeout: seconds after which the unfinished cases are given up.
        :return: what each case has returned; an exception if its steps have failed or timed out.
        """
        results: dict[str, T | BaseException] = {}
        conditions: dict[str, Callable[[], object]] = dict.fromkeys(steps, lambda: True)
        deadline = time.monotonic() + timeout
        while conditions:
            self._poll_tasks()
            for module, condition in list(conditions.items()):
                try:
                    if condition():
                        conditions[module] = next(steps[module])
                    elif time.monotonic() > deadline:
                        raise TimeoutError(f"the case did not end within {timeout:g} s")
                except StopIteration as end:
                    results[module] = end.value
                except Exception as error:
                    results[module] = error
                if module in results:
                    del conditions[module]
            time.sleep(0.2)
        return results

    def _poll_tasks(self) -> None:
        answer = self.airflow.api.call("GET", "/dags/~/dagRuns/~/taskInstances", limit=100)
        self._tasks = {item["dag_run_id"]: TaskInstance.from_dict(item) for item in answer["task_instances"]}

    def task(self, run: DagRun) -> TaskInstance:
        """Return the run's task instance, as it was at the last poll."""
        return self._tasks[run.run_id]

    def has_ended(self, run: DagRun) -> bool:
        """Whether the run's task had ended at the last poll."""
        return run.run_id in self._tasks and self.task(run).state in FINISHED

    def uncertain_message(self, run: DagRun) -> str | None:
        """Return the error message about an uncertain submission from the log of the last try; None without one."""
        log = "\n".join(run.messages("pay", attempt=self.task(run).try_number))
        match = UNCERTAIN_MESSAGE.search(log)
        return match and match[0]

    # --- White Rabbit

    def submissions(self, module: str) -> list[Entry]:
        """Return the submissions of a module that the emulator has received."""
        return [entry for entry in self.wr.requests(kind="submit") if entry.json["module"] == module]

    def executions(self, module: str) -> list[dict[str, Any]]:
        """Return the records of a module's executions, oldest first."""
        return [record for record in self.wr.executions if record["module"] == module]

    def count_reads(self, module: str, *, streams: bool = False) -> int:
        """Count how often the record of the module's last execution was read, or with `streams` its stream opened."""
        records = self.executions(module)
        if not records:
            return 0
        path = f"*/{records[-1]['id']}/stream" if streams else f"*/{records[-1]['id']}"
        return sum(entry.status is not None for entry in self.wr.requests(method="GET", path=path))

    # --- processes

    def has_stopped(self, module: str, point: str) -> bool:
        """Whether the task has stopped at the point."""
        return (self.folder / f"{module}.{point}").exists()

    def task_process(self, module: str) -> psutil.Process:
        """Return the process that executes the module's task."""
        return psutil.Process(int((self.folder / f"{module}.pid").read_text()))

    def kill_task(self, module: str, killed: str) -> psutil.Process:
        """Kill the task's process, its supervisor, or both.

        :param killed: ``"task"``, ``"supervisor"`` or ``"both"``.
        :return: the task's process.
        :raises RuntimeError: if the processes are not descendants of the scheduler.
        """
        task = self.task_process(module)
        supervisor = task.parent()
        scheduler, *descendants = self.airflow.processes("scheduler")
        if supervisor not in descendants or task not in descendants:
            raise RuntimeError(f"the task {task} and its supervisor {supervisor} do not belong to {scheduler}")
        for process in {"task": [task], "supervisor": [supervisor], "both": [supervisor, task]}[killed]:
            process.kill()
        return task

    def release(self, module: str) -> None:
        """Let a stopped task continue, and let the emulator process the request that it holds."""
        (self.folder / f"{module}.go").touch()
        if fault := self.faults.get(module):
            self.wr.release(fault)

    def kill_component_once(self, component: str) -> bool:
        """Kill a component and all processes that it started; do nothing and return False if this was done before."""
        if component in self._killed:
            return False
        self._killed.add(component)
        self.airflow.kill(component)
        return True

    def is_unhealthy(self, component: str) -> bool:
        """Whether a component has had no heartbeat for so long that other components take over its work."""
        return self.airflow.api.health().get(component, {}).get("status") == "unhealthy"


def is_dead(process: psutil.Process) -> bool:
    """Whether a process has ended."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True
