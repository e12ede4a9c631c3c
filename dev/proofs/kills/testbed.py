"""The testbed of the kills: a real Airflow, emulators of White Rabbit, the tasks' processes, and what they show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

from airflow_provider_whiterabbit.emulator import Emulator, Entry
from airflow_provider_whiterabbit.emulator.effects import Call, Effect, Fault, Hold
from dev.harness.airflow_api import DagRun, TaskInstance
from dev.harness.airflow_home import SERVER, AirflowHome
from dev.harness.polling import until

SETTINGS = {
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__PARALLELISM": "16",
    # Airflow notices by missing heartbeats that a task's supervisor has died; by default after five minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    # A starting scheduler resets the tasks of a scheduler without heartbeats for that long (default: 30 seconds). It
    # must not check again later: a scheduler that is slow for a moment would take itself for dead.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3600",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
}

_PAGE = 100
_EXIT = re.compile(r"Received executor event.*task_id='([^']*)', run_id='([^']*)', try_number=(\d+), map_index=(-?\d+)")


@dataclass
class HoldFirst(Effect):
    """Holds the first submission of a module, or the answer to it, until the fault is released.

    :param before: True to hold the submission before the emulator processes it, False to hold the answer.
    :param payee: whom the submission pays; empty for anybody.
    """

    module: str
    before: bool
    payee: str = ""
    has_held: bool = False

    async def apply(self, call: Call) -> None:
        """Hold this request if it is the first submission of the module."""
        body = json.loads(call.scope["body"])
        if self.has_held or body["module"] != self.module or self.payee not in ("", body["input"]["payee"]):
            await call.proceed()
            return
        self.has_held = True
        await Hold(self.before).apply(call)


class Testbed:
    """Airflow, the emulators, and the state of all task instances at the last poll.

    :param other: an emulator of another White Rabbit workspace.
    :param folder: folder in which the tasks write their process ids.
    """

    def __init__(self, wr: Emulator, other: Emulator, airflow: AirflowHome, folder: Path) -> None:
        self.wr = wr
        self.other = other
        self.airflow = airflow
        self.folder = folder
        self.faults: dict[str, Fault] = {}
        self._done: set[str] = set()
        self._is_taken = False
        self._scheduler_log = airflow.home / "output" / "scheduler.log"
        self._read_bytes = 0
        self._exits: set[tuple[str, ...]] = set()  # run id, task id, number of the try and map index
        self._tasks: dict[tuple[str, str, int], dict[str, Any]] = {}

    def poll(self) -> None:
        """Read the states of all task instances from Airflow, and the exits of workers from the scheduler's log."""
        answer = self.airflow.api.call("GET", "/dags/~/dagRuns/~/taskInstances", limit=_PAGE)
        if answer["total_entries"] > _PAGE:
            raise RuntimeError("there are more task instances than one answer holds")
        with self._scheduler_log.open() as log:
            log.seek(self._read_bytes)
            self._exits.update((run_id, task_id, *key) for task_id, run_id, *key in _EXIT.findall(log.read()))
            self._read_bytes = log.tell()
        self._tasks = {
            (item["dag_run_id"], item["task_id"], item["map_index"]): item for item in answer["task_instances"]
        }

    def task(self, run: DagRun, task_id: str, index: int) -> TaskInstance | None:
        """Return a task instance as it was at the last poll; None if there was no such task instance."""
        item = self._tasks.get((run.run_id, task_id, index))
        return None if item is None else TaskInstance.from_dict(item)

    def is_parked(self, run: DagRun, task_id: str, index: int) -> bool:
        """Whether a task waits without a worker, and the scheduler has noticed that the task's worker has exited.

        If the task is resumed before that, the scheduler mistakes the exit for the end of the task, and tries it again.
        """
        task = self.task(run, task_id, index)
        if task is None or task.state not in ("deferred", "awaiting_input"):
            return False
        return (run.run_id, task_id, str(task.try_number), str(index)) in self._exits

    def is_run_parked(self, run: DagRun) -> bool:
        """Whether all deferred tasks of a run are parked."""
        keys = [key for key, item in self._tasks.items() if key[0] == run.run_id and item["state"] == "deferred"]
        return all(self.is_parked(run, task_id, index) for _, task_id, index in keys)

    def rendered_inputs(self, run: DagRun, task_id: str, index: int) -> Any:
        """Return the inputs whose outputs a task instance must have returned in its last try."""
        fields = self._tasks[run.run_id, task_id, index]["rendered_fields"]
        if "inputs" in fields:
            return fields["inputs"]
        return [fields["input"] if "input" in fields else fields["op_kwargs"]["input"]]

    def once(self, name: str, action: Callable[[], object]) -> bool:
        """Do something unless it was done before under this name; return whether it was done now."""
        if name in self._done:
            return False
        self._done.add(name)
        action()
        return True

    def takes_turn(self) -> bool:
        """Let a case run a command, unless another case runs one; return whether the case may run it."""
        if self._is_taken:
            return False
        self._is_taken = True
        return True

    def ends_turn(self) -> None:
        """Let the next case run a command."""
        self._is_taken = False

    def knows_edit(self, dag_id: str) -> bool:
        """Whether Airflow has parsed a DAG's file anew after the file was edited."""
        versions = self.airflow.api.call("GET", f"/dags/{dag_id}/dagVersions")
        return int(versions["total_entries"]) > 1

    def make_forgetful(self) -> None:
        """Set ``[state_store] clear_on_success`` for the API server, which starts anew, and for the next scheduler."""
        (self.airflow.home / "airflow.cfg").write_text("[state_store]\nclear_on_success = True\n")
        self.airflow.kill(SERVER)
        self.airflow.start(SERVER)
        until(self.airflow.api.health, "the API server to answer", 60)

    # --- White Rabbit

    def submissions(self, module: str, index: int = -1) -> list[Entry]:
        """Return the submissions of a module that White Rabbit has received.

        :param index: map index of the task instance that has submitted; -1 for all.
        """
        entries = [*self.wr.requests(kind="submit"), *self.other.requests(kind="submit")]
        return [entry for entry in entries if entry.json["module"] == module and index in (-1, _index(entry))]

    def executions(self, module: str, index: int = -1) -> list[dict[str, Any]]:
        """Return the records of a module's executions, oldest first.

        :param index: map index of the task instance that has submitted; -1 for all.
        """
        records = [record for record in self.wr.executions if record["module"] == module]
        if index == -1:
            return records
        submissions = self.submissions(module)  # no submission of a mapped task is held, so the order is the same
        return [record for record, entry in zip(records, submissions, strict=False) if _index(entry) == index]

    def count_streams(self, module: str) -> int:
        """Count how often the event stream of the module's last execution was opened."""
        records = self.executions(module)
        if not records:
            return 0
        entries = self.wr.requests(method="GET", path=f"*/{records[-1]['id']}/stream")
        return sum(entry.status is not None for entry in entries)

    def hold_record(self, module: str, *, skip: int = 0) -> Fault:
        """Hold each request for the record of the module's last execution, until `release`.

        :param skip: how many requests are answered before.
        """
        path = f"*/{self.executions(module)[-1]['id']}"
        fault = self.faults[module] = self.wr.fault(Hold(before=True), kind="record", path=path, skip=skip)
        return fault

    # --- processes

    def has_stopped(self, module: str, point: str) -> bool:
        """Whether the task has stopped at the point."""
        return (self.folder / f"{module}.{point}").exists()

    def task_process(self, name: str) -> psutil.Process:
        """Return the process that has written its id under a name, such as the task's module."""
        return psutil.Process(int((self.folder / f"{name}.pid").read_text()))

    def kill_task(self, name: str, killed: str = "task") -> psutil.Process:
        """Kill the task's process, its supervisor, or both.

        :param name: the name under which the process has written its id, such as the task's module.
        :param killed: ``"task"``, ``"supervisor"`` or ``"both"``.
        :return: the task's process.
        :raises RuntimeError: if the processes are not descendants of the scheduler.
        """
        task = self.task_process(name)
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

    def is_unhealthy(self, component: str) -> bool:
        """Whether a component has had no heartbeat for so long that other components take over its work."""
        return self.airflow.api.health().get(component, {}).get("status") == "unhealthy"


def is_dead(process: psutil.Process) -> bool:
    """Whether a process has ended."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


def _index(submission: Entry) -> int:
    return int(submission.json.get("config", {}).get("index", -1))
