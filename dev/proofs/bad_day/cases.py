"""The cases of a bad day: which part fails, while executions end before, during and after the failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dev.proofs.bad_day.testbed import Testbed


def kill_triggerer(testbed: Testbed) -> None:
    """Kill a triggerer; the other triggerer takes over its waits."""
    batch = testbed.batches[0]
    testbed.complete_third(0)
    testbed.kill("triggerer")
    testbed.mark_failure_over()
    testbed.complete_third(1)
    testbed.until(lambda: testbed.count_streams(batch.third(2)), "the other triggerer to take over")
    testbed.complete_third(2)
    testbed.airflow.start("triggerer")


def freeze_triggerer(testbed: Testbed) -> None:
    """Suspend the triggerer that runs all waits until the other triggerer has taken over; then both run the waits."""
    batch = testbed.batches[0]
    testbed.complete_third(0)
    testbed.airflow.freeze("triggerer-2")
    testbed.complete_third(1)
    testbed.until(lambda: testbed.count_streams(batch.third(2)) > 1, "the other triggerer to take over all waits")
    testbed.airflow.thaw("triggerer-2")
    testbed.mark_failure_over()
    testbed.complete_third(2)


def stop_database(testbed: Testbed) -> None:
    """Stop the database without notice, and start it again after 10 seconds."""
    testbed.complete_third(0)
    testbed.postgres.stop("immediate")
    testbed.kills += 1
    testbed.complete_third(1)
    time.sleep(10)
    testbed.postgres.start()
    testbed.mark_failure_over()
    testbed.complete_third(2)


def kill_scheduler(testbed: Testbed) -> None:
    """Kill the scheduler and its workers while they end tasks; start a scheduler when Airflow has noticed the kill."""
    batch = testbed.batches[0]
    testbed.complete_third(0)
    testbed.until(lambda: testbed.airflow.is_busy_with(*batch.tasks().values()), "a worker to end a task")
    testbed.kill("scheduler")
    testbed.complete_third(1)
    testbed.until(
        lambda: testbed.airflow.api.health()["scheduler"]["status"] == "unhealthy", "Airflow to notice the kill"
    )
    testbed.airflow.start("scheduler")
    testbed.mark_failure_over()
    testbed.complete_third(2)


def pause_white_rabbit(testbed: Testbed) -> None:
    """Let the emulator close all connections, and refuse new ones for a minute."""
    testbed.complete_third(0)
    testbed.wr.pause()
    testbed.complete_third(1)
    time.sleep(60)
    testbed.wr.resume()
    testbed.mark_failure_over()
    testbed.complete_third(2)


@dataclass(frozen=True)
class Case:
    """A failure of one part.

    :param fail: lets the part fail and recover, and completes the executions of the first batch around the failure.
    :param hits_workers: True if tasks that end in a worker may need a second try.
    """

    title: str
    fail: Callable[[Testbed], None]
    hits_workers: bool = False


CASES = (
    Case("a triggerer is killed, the other one takes over", kill_triggerer),
    Case("a triggerer is halted, then two triggerers run the same waits", freeze_triggerer),
    Case("the database is stopped and returns after 10 s", stop_database, hits_workers=True),
    Case("the scheduler and its workers are killed and restarted", kill_scheduler, hits_workers=True),
    Case("White Rabbit is unreachable for a minute", pause_white_rabbit),
)
