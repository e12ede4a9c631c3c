"""The cases: which part of the cluster fails while its tasks submit and wait, and what the failure hits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import partial

from dev.harness.airflow_home import SERVER, WORKER
from dev.proofs.cluster.settings import RESTORE_INTERVAL, VISIBILITY_TIMEOUT
from dev.proofs.cluster.testbed import Testbed

OUTAGE = 8.0
"""Seconds for which the database is down."""

WAITS = 4
"""How many tasks are deferred, at least, when a triggerer is killed."""

SILENCE = 4.0
"""Seconds without a heartbeat after which the job of a killed component is known; the others have one per second."""

QUEUE = "LLEN default"
RESERVED = "HLEN unacked"
"""Redis's commands for the number of tasks that wait for a worker, and that a worker has and has not finished."""


def nothing(_bed: Testbed) -> str:
    """Let nothing fail."""
    return "nothing"


def kill_worker(bed: Testbed) -> str:
    """Kill a worker while it submits. Celery delivers its tasks again, and Airflow tries them again."""
    before = bed.redelivered()
    bed.until(lambda: bed.in_flight_in(bed.pids(WORKER)), "a submission to be in flight in the worker")
    hit = bed.note_in_flight_in(bed.kill(WORKER))
    bed.airflow.start(WORKER)
    bed.until(lambda: bed.redelivered() > before, "Celery to deliver a task again")
    return _counted(hit, "submissions in flight")


def kill_triggerer(bed: Testbed) -> str:
    """Kill a triggerer that has waits; the other one takes them over."""
    bed.until(lambda: bed.count("deferred") >= WAITS, f"{WAITS} tasks to be deferred")
    return _kill_one_with(bed, bed.ledger.waits, "triggerer", "TriggererJob", "waits")


def kill_scheduler(bed: Testbed) -> str:
    """Kill a scheduler that has sent tasks to the workers; the other one takes them over."""
    bed.until(lambda: bed.count("running"), "a task to run")
    return _kill_one_with(bed, bed.ledger.scheduled, "scheduler", "SchedulerJob", "tasks")


def kill_server(bed: Testbed) -> str:
    """Kill an API server while tasks need it, with the requests that it answers."""
    bed.until(lambda: bed.count("running") and bed.connections(SERVER), "a task to be connected to the server")
    hit = bed.connections(SERVER)
    bed.kill(SERVER)
    bed.note_in_flight()  # whose ids the other server may get or not
    bed.airflow.start(SERVER)
    return _counted(hit, "connections")


def freeze_worker(bed: Testbed) -> str:
    """Suspend a worker while it submits, until its tasks run elsewhere; then both run them."""
    before = bed.redelivered()
    bed.until(lambda: bed.in_flight_in(bed.pids(WORKER)), "a submission to be in flight in the worker")
    bed.airflow.freeze(WORKER)
    hit = bed.note_in_flight_in(bed.pids(WORKER))
    frozen_at = time.monotonic()
    bed.until(lambda: bed.redelivered() > before, "Celery to deliver a task again")
    # Airflow tries again the tasks without heartbeats at about the same time, and the last task of the worker may have
    # begun just before it was suspended.
    time.sleep(max(0.0, frozen_at + VISIBILITY_TIMEOUT + RESTORE_INTERVAL - time.monotonic()))
    bed.airflow.thaw(WORKER)
    return _counted(hit, "submissions in flight")


def empty_redis(bed: Testbed) -> str:
    """Kill Redis while tasks wait in it for a worker, and start it again without them."""
    bed.until(lambda: bed.redis.number(QUEUE), "a task to wait in Redis")
    hit = bed.redis.number(QUEUE) + bed.redis.number(RESERVED)
    bed.redis.kill()
    bed.redis.start()
    return _counted(hit, "messages")


def restart_database(bed: Testbed) -> str:
    """Stop PostgreSQL without notice, and start it again."""
    bed.note_in_flight()
    hit = bed.ledger.sessions()
    bed.postgres.stop("immediate")
    time.sleep(OUTAGE)
    bed.postgres.start()
    bed.note_in_flight()  # also what was stored between the first look and the stop
    return _counted(hit, "sessions")


def _kill_one_with(
    bed: Testbed, held: Callable[[], Mapping[int, int]], component: str, job_type: str, what: str
) -> str:
    """Kill one of two components that has something: the second one if the first one turns out to have had nothing.

    Airflow's tables name the job of a component, and not its process: whose heartbeats have ended was killed.

    :param held: returns how much each job has.
    """
    for name in (component, f"{component}-2"):
        jobs, had = {job for job, age in bed.ledger.heartbeats(job_type).items() if age < SILENCE}, held()
        bed.kill(name)
        job = bed.until(partial(_silent_one, bed, job_type, jobs), f"the heartbeats of {name} to end")
        bed.airflow.start(name)
        if had.get(job):
            return _counted(had[job], what)
    raise TimeoutError(f"neither {component} had {what}")


def _silent_one(bed: Testbed, job_type: str, jobs: Set[int]) -> int | None:
    """Return the one of some jobs that has no heartbeats any more; None if it is not clear which one that is."""
    ages = {job: age for job, age in bed.ledger.heartbeats(job_type).items() if job in jobs}
    silent = [job for job, age in ages.items() if age > SILENCE]
    return silent[0] if len(silent) == 1 and all(ages[job] < SILENCE / 2 for job in ages.keys() - silent) else None


def _counted(hit: int, what: str) -> str:
    """Return how much a failure has hit, as text.

    :raises TimeoutError: if that is nothing.
    """
    if not hit:
        raise TimeoutError(f"the failure hit no {what}")
    return f"{hit} {what}"


@dataclass(frozen=True)
class Case:
    """A failure of one part.

    :param name: the name for the command line.
    :param fail: lets the part fail, and starts it again; returns what the failure hit.
    """

    name: str
    title: str
    fail: Callable[[Testbed], str]


CASES = (
    Case("calm", "nothing fails", nothing),
    Case("worker", "a worker is killed while it submits", kill_worker),
    Case("triggerer", "a triggerer is killed", kill_triggerer),
    Case("scheduler", "a scheduler is killed", kill_scheduler),
    Case("api-server", "an API server is killed", kill_server),
    Case("freeze", "a worker is halted until its tasks run elsewhere, and returns", freeze_worker),
    Case("redis", "Redis is killed and returns without its data", empty_redis),
    Case("database", f"PostgreSQL is stopped and returns after {OUTAGE:g} s", restart_database),
)
