"""The day: Airflow and White Rabbit, the waits in flight, and what is seen of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import requests

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import FINISHED, DagRun, TaskInstance, until
from dev.harness.airflow_home import AirflowHome
from dev.harness.postgres import Postgres

WAYS = {
    "triggerer": "sensors that start and end in the triggerer",
    "worker": "mapped sensors that start and end in a worker",
    "component": "mapped operators that submit and end in a worker",
    "ending": "mapped operators that submit in a worker and end in the triggerer",
}
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "6",
    # Who is not heard of for so many seconds is taken for dead; by default after 300, 30 and 30. A scheduler shall look
    # for dead ones when it starts, and not later: slow for a moment, it would believe itself dead.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "8",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3600",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
}
PATIENCE = 120.0
"""Seconds for anything that has to happen."""

T = TypeVar("T")


@dataclass(frozen=True)
class Wait:
    """A task that waits for an execution of its own.

    :param way: how it waits.
    :param identity: the execution's id.
    """

    way: str
    number: int
    identity: str

    @property
    def task(self) -> tuple[str, int]:
        """Task id and map index."""
        return (f"{self.way}_{self.number}", -1) if self.way == "triggerer" else (self.way, self.number)

    def __str__(self) -> str:
        return f"{self.way} {self.number}"


@dataclass
class Batch:
    """The waits of one run, which are to end around one case.

    :param module: that of their executions.
    :param sizes: how many waits of each way there are.
    :param waits: those that are known so far; what operators submit is known when it is in flight.
    """

    module: str
    run: DagRun
    sizes: Mapping[str, int]
    waits: list[Wait]

    def part(self, number: int) -> list[Wait]:
        """Return the first (0), second or last third of the waits of each way."""
        return self.waits[number::3]

    def tasks(self) -> dict[tuple[str, int], TaskInstance]:
        """Return the tasks that wait."""
        return {key: task for key, task in self.run.tasks().items() if key[0] != "collect"}

    def has_ended(self) -> bool:
        """Whether all the waits have, in whichever way."""
        return all(task.state in FINISHED for task in self.tasks().values())


class Day:
    """What the cases act on.

    :param batches: those in flight; the first one is to end next.
    """

    def __init__(self, wr: Emulator, airflow: AirflowHome, postgres: Postgres) -> None:
        self.wr = wr
        self.airflow = airflow
        self.postgres = postgres
        self.batches: list[Batch] = []
        self.kills = 0
        self.revived: Counter[str] = Counter()
        self.over_at = 0.0

    def start(self, module: str, sizes: Mapping[str, int]) -> None:
        """Start a batch whose executions end when they are told to."""
        self.wr.script(module, output=lambda given, _config: {module: given["wait"]}, manual=True)
        waits = [
            Wait(way, number, self.wr.create_execution(module, {"wait": f"{way} {number}"}))
            for way in ("triggerer", "worker")
            for number in range(sizes[way])
        ]
        conf = {way: [wait.identity for wait in waits if wait.way == way] for way in ("triggerer", "worker")}
        run = self.airflow.run("bad_day", {"module": module, **conf})
        self.batches.append(Batch(module, run, sizes, waits))

    def is_in_flight(self, batch: Batch) -> bool:
        """Whether its tasks are deferred, their triggers follow streams, and no worker has to do with them."""
        tasks = batch.tasks()
        if len(tasks) < sum(batch.sizes.values()) or any(task.state != "deferred" for task in tasks.values()):
            return False
        if len(batch.waits) < len(tasks):
            batch.waits += [
                Wait(way, number, batch.run.xcom(way, "execution_id", number))
                for way in ("component", "ending")
                for number in range(batch.sizes[way])
            ]
        return self.streams(batch.waits) >= 1 and not self.airflow.is_busy_with(*tasks.values())

    def streams(self, waits: Iterable[Wait]) -> int:
        """Return how many streams each of the waits has at least."""
        return min(self.wr.streams(wait.identity) for wait in waits)

    def complete(self, part: int) -> None:
        """Let a third of the executions end whose turn it is."""
        for wait in self.batches[0].part(part):
            self.wr.complete(wait.identity)

    def kill(self, component: str) -> None:
        """Kill a component and all that it started."""
        self.kills += len(self.airflow.processes(component))
        self.airflow.kill(component)

    def over(self) -> None:
        """Note that from now on nothing is wrong any more."""
        self.over_at = time.time()

    def until(self, condition: Callable[[], T | None], what: str) -> T:
        """Wait for a condition, while what exits by itself is started again."""

        def look() -> T | None:
            self.revived.update(self.airflow.revive())
            try:
                return condition()
            except (requests.ConnectionError, requests.Timeout):  # the API server may be one of those
                return None

        return until(look, what, PATIENCE)
