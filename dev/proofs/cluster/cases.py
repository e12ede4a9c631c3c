"""The cases: which part of the cluster fails while its tasks submit and wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dev.harness.airflow_home import SERVER, WORKER
from dev.proofs.cluster.settings import RESTORE_INTERVAL, VISIBILITY_TIMEOUT
from dev.proofs.cluster.testbed import Testbed

OUTAGE = 8.0
"""Seconds for which the database is down."""

WAITS = 4
"""How many tasks are deferred, at least, when a triggerer is killed: each of the two has some of them."""


def nothing(_bed: Testbed) -> None:
    """Let nothing fail."""


def kill_worker(bed: Testbed) -> None:
    """Kill a worker while it submits. Celery delivers its tasks again, and Airflow tries them again."""
    before = bed.redelivered()
    bed.until(lambda: bed.is_in_flight_in(WORKER), "a submission to be in flight in the worker")
    bed.kill(WORKER)
    bed.airflow.start(WORKER)
    bed.until(lambda: bed.redelivered() > before, "Celery to deliver a task again")


def kill_triggerer(bed: Testbed) -> None:
    """Kill a triggerer; the other one takes over its waits."""
    bed.until(lambda: bed.count("deferred") >= WAITS, f"{WAITS} tasks to be deferred")
    bed.kill("triggerer")
    bed.airflow.start("triggerer")


def kill_scheduler(bed: Testbed) -> None:
    """Kill a scheduler while it has tasks; the other one takes them over."""
    bed.until(lambda: bed.count("running"), "a task to run")
    bed.kill("scheduler")
    bed.airflow.start("scheduler")


def kill_server(bed: Testbed) -> None:
    """Kill an API server while tasks need it, with the requests that it answers."""
    bed.until(lambda: bed.count("running"), "a task to run")
    bed.kill(SERVER)
    bed.airflow.start(SERVER)


def freeze_worker(bed: Testbed) -> None:
    """Suspend a worker while it submits, until its tasks run elsewhere; then both run them."""
    before = bed.redelivered()
    bed.until(lambda: bed.is_in_flight_in(WORKER), "a submission to be in flight in the worker")
    bed.airflow.freeze(WORKER)
    bed.note_in_flight()
    frozen_at = time.monotonic()
    bed.until(lambda: bed.redelivered() > before, "Celery to deliver a task again")
    # Airflow tries again the tasks without heartbeats at about the same time, and the last task of the worker may have
    # begun just before it was suspended.
    time.sleep(max(0.0, frozen_at + VISIBILITY_TIMEOUT + RESTORE_INTERVAL - time.monotonic()))
    bed.airflow.thaw(WORKER)


def empty_redis(bed: Testbed) -> None:
    """Kill Redis while it has tasks, and start it again without them."""
    bed.until(lambda: bed.count("queued"), "a task to be queued")
    bed.redis.kill()
    bed.note_in_flight()
    bed.redis.start()


def restart_database(bed: Testbed) -> None:
    """Stop PostgreSQL without notice, and start it again."""
    bed.note_in_flight()
    bed.postgres.stop("immediate")
    time.sleep(OUTAGE)
    bed.postgres.start()
    bed.note_in_flight()  # also what was stored between the first look and the stop


@dataclass(frozen=True)
class Case:
    """A failure of one part.

    :param name: the name for the command line.
    :param fail: lets the part fail, and starts it again.
    """

    name: str
    title: str
    fail: Callable[[Testbed], None]


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
