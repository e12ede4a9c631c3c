"""The testbed of a bad day: Airflow, PostgreSQL, the emulator, and the waits in flight."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import requests

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import FINISHED, DagRun, TaskInstance
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from dev.harness.postgres import Postgres

SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "6",
    # Airflow takes a task, a scheduler or a triggerer for dead after so many seconds without a heartbeat. The defaults
    # are 300, 30 and 30. A scheduler must check for dead schedulers only when it starts: later, a scheduler that is
    # slow for a moment would take itself for dead.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "8",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3600",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
}
STEP_TIMEOUT = 120.0
"""Seconds that each step of a case may take."""

T = TypeVar("T")


@dataclass(frozen=True)
class Wait:
    """A task that waits for its own execution.

    :param way: how the task waits: ``triggerer`` (a sensor that starts and ends in the triggerer), ``worker`` (a mapped
        sensor that starts and ends in a worker), ``component`` (a mapped operator that submits and ends in a worker) or
        ``ending`` (a mapped operator that submits in a worker and ends in the triggerer).
    :param number: counts the waits of one way from 0.
    :param execution_id: id of the execution.
    """

    way: str
    number: int
    execution_id: str

    @property
    def task(self) -> tuple[str, int]:
        """The task's id and map index."""
        return (f"{self.way}_{self.number}", -1) if self.way == "triggerer" else (self.way, self.number)

    def __str__(self) -> str:
        return f"{self.way} {self.number}"


@dataclass
class Batch:
    """The waits of one DAG run, which end around one case.

    :param module: module of their executions.
    :param sizes: how many waits of each way the run has.
    :param waits: the waits whose execution is known; that of an operator becomes known when the operator has submitted.
    """

    module: str
    run: DagRun
    sizes: Mapping[str, int]
    waits: list[Wait]

    def third(self, number: int) -> list[Wait]:
        """Return the first (0), second (1) or last (2) third of the waits."""
        return self.waits[number::3]

    def tasks(self) -> dict[tuple[str, int], TaskInstance]:
        """Return the task instances that wait, by task id and map index."""
        return {key: task for key, task in self.run.tasks().items() if key[0] != "collect"}

    def has_ended(self) -> bool:
        """Whether all the waiting tasks have ended in any state."""
        return all(task.state in FINISHED for task in self.tasks().values())


class Testbed:
    """Airflow, PostgreSQL and the emulator, on which the cases act.

    `batches` holds the batches in flight; the waits of the first one end around the current case. `kills` counts the
    processes that the current case has killed; `restarts` counts the components that have exited by themselves.
    """

    def __init__(self, wr: Emulator, airflow: AirflowHome, postgres: Postgres) -> None:
        self.wr = wr
        self.airflow = airflow
        self.postgres = postgres
        self.batches: list[Batch] = []
        self.kills = 0
        self.restarts: Counter[str] = Counter()
        self.failure_over_at = 0.0

    def start_batch(self, module: str, sizes: Mapping[str, int]) -> None:
        """Start a DAG run whose waits end when `complete_third` is called."""
        self.wr.component(module)
        self.wr.script(module, output=lambda execution_input, _config: {module: execution_input["wait"]}, manual=True)
        waits = [
            Wait(way, number, self.wr.create_execution(module, {"wait": f"{way} {number}"}))
            for way in ("triggerer", "worker")
            for number in range(sizes[way])
        ]
        conf = {way: [wait.execution_id for wait in waits if wait.way == way] for way in ("triggerer", "worker")}
        run = self.airflow.run("bad_day", {"module": module, **conf})
        self.batches.append(Batch(module, run, sizes, waits))

    def is_in_flight(self, batch: Batch) -> bool:
        """Whether all tasks of the batch are deferred and follow streams, and no worker process exists for them."""
        tasks = batch.tasks()
        if len(tasks) < sum(batch.sizes.values()) or any(task.state != "deferred" for task in tasks.values()):
            return False
        if len(batch.waits) < len(tasks):
            batch.waits += [
                Wait(way, number, batch.run.xcom(way, "execution_id", number))
                for way in ("component", "ending")
                for number in range(batch.sizes[way])
            ]
        return self.count_streams(batch.waits) >= 1 and not self.airflow.is_busy_with(*tasks.values())

    def count_streams(self, waits: Iterable[Wait]) -> int:
        """Return the smallest number of open streams that any of the waits has."""
        return min(self.wr.streams(wait.execution_id) for wait in waits)

    def complete_third(self, number: int) -> None:
        """Complete the executions of a third of the first batch."""
        for wait in self.batches[0].third(number):
            self.wr.complete(wait.execution_id)

    def kill(self, component: str) -> None:
        """Kill a component and all processes that it started."""
        self.kills += len(self.airflow.processes(component))
        self.airflow.kill(component)

    def mark_failure_over(self) -> None:
        """Store the current time as the end of the failure."""
        self.failure_over_at = time.time()

    def until(self, condition: Callable[[], T | None], what: str) -> T:
        """Wait for a condition, and meanwhile restart the components that exit by themselves."""

        def check() -> T | None:
            self.restarts.update(self.airflow.revive())
            try:
                return condition()
            except (requests.ConnectionError, requests.Timeout):  # the API server may have exited
                return None

        return until(check, what, STEP_TIMEOUT)
