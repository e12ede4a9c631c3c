"""The cases: what goes wrong, while executions end right before it, during it, and as soon as it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dev.proofs.bad_day.day import Day


def triggerer_killed(day: Day) -> None:
    """Kill a triggerer; the other one takes over."""
    batch = day.batches[0]
    day.complete(0)
    day.kill("triggerer")
    day.over()
    day.complete(1)
    day.until(lambda: day.streams(batch.part(2)), "the other triggerer to take over")
    day.complete(2)
    day.airflow.start("triggerer")


def triggerer_frozen(day: Day) -> None:
    """Halt the triggerer that holds all waits until the other one has taken over; then both run them."""
    batch = day.batches[0]
    day.complete(0)
    day.airflow.freeze("triggerer-2")
    day.complete(1)
    day.until(lambda: day.streams(batch.part(2)) > 1, "the other triggerer to take over all that was halted")
    day.airflow.thaw("triggerer-2")
    day.over()
    day.complete(2)


def database_gone(day: Day) -> None:
    """Stop the database without notice, and start it again."""
    day.complete(0)
    day.postgres.stop("immediate")
    day.kills += 1
    day.complete(1)
    time.sleep(10)
    day.postgres.start()
    day.over()
    day.complete(2)


def scheduler_killed(day: Day) -> None:
    """Kill the scheduler with its workers while they end tasks; start another one when that is noticed."""
    batch = day.batches[0]
    day.complete(0)
    day.until(lambda: day.airflow.is_busy_with(*batch.tasks().values()), "a worker to end a task")
    day.kill("scheduler")
    day.complete(1)
    day.until(lambda: day.airflow.api.health()["scheduler"]["status"] == "unhealthy", "the death to be noticed")
    day.airflow.start("scheduler")
    day.over()
    day.complete(2)


def white_rabbit_gone(day: Day) -> None:
    """Let White Rabbit cut all connections, and accept none for a minute."""
    day.complete(0)
    day.wr.pause()
    day.complete(1)
    time.sleep(60)
    day.wr.resume()
    day.over()
    day.complete(2)


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong.

    :param play: lets it go wrong, and puts it right.
    :param hits_workers: what ends in a worker may need a second try.
    """

    title: str
    play: Callable[[Day], None]
    hits_workers: bool = False


CASES = (
    Case("triggerer killed, the other takes over", triggerer_killed),
    Case("triggerer halted, then two run the same waits", triggerer_frozen),
    Case("database stopped at once, back after 10 s", database_gone, hits_workers=True),
    Case("scheduler killed with its workers, restarted", scheduler_killed, hits_workers=True),
    Case("White Rabbit away for a minute", white_rabbit_gone),
)
