"""The plan of a run: when which execution ends, and when what fails. A seed gives the same plan each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from dev.harness.airflow_home import SERVER
from dev.proofs.callbacks.listening import LISTENING, MODULES, NAME

SERVERS = (SERVER, f"{SERVER}-2")
SCHEDULER = "scheduler"
DATABASE = "database"

Way = Literal["break", "delete", "pause", "kill", "fast", "immediate"]

_BURST = 12
_SHORT = 180
"""Seconds; a shorter run has shorter times between two failures, so that everything fails at least once."""


@dataclass(frozen=True)
class Planned:
    """An execution before it is submitted.

    :param server: number of the API server that gets the callback.
    :param name: the name that the execution is submitted with, or None.
    :param ends_at: seconds from the start.
    :param replayed_at: seconds from the start at which somebody asks for the callback once more; None for most.
    """

    module: str
    server: int
    name: str | None
    fails: bool
    ends_at: float
    replayed_at: float | None


def executions(seed: int, count: int, seconds: float) -> list[Planned]:
    """Return the executions, which end within `seconds`. A quarter of them end in bursts."""
    random = Random(f"{seed} executions")  # noqa: S311 (nothing secret)
    bursts = [random.uniform(0, seconds) for _ in range(count // 4 // _BURST + 1)]
    return [_execution(random, number, bursts, seconds) for number in range(count)]


def _execution(random: Random, number: int, bursts: list[float], seconds: float) -> Planned:
    ends_at = random.choice(bursts) if random.random() < 0.25 else random.uniform(0, seconds)
    return Planned(
        module=random.choice(MODULES),
        server=number % len(SERVERS),
        name=NAME if random.random() < 1 / 3 else None,
        fails=random.random() < 0.15,
        ends_at=ends_at,
        replayed_at=ends_at + random.uniform(0, 8) if random.random() < 0.05 else None,
    )


@dataclass(frozen=True)
class Failing:
    """How a part fails over and over.

    :param ways: the ways in which it fails, one of which is drawn each time.
    :param pause: shortest and longest time in seconds before it fails.
    :param length: shortest and longest time in seconds until somebody mends it.
    """

    ways: tuple[Way, ...]
    pause: tuple[float, float]
    length: tuple[float, float]


FAILING = {
    **{
        listening.dag_id: Failing(("break", "delete", "pause"), (4, 20), (4, 25))
        for listening in LISTENING
        if listening.fails
    },
    **{server: Failing(("kill",), (40, 110), (1, 8)) for server in SERVERS},
    SCHEDULER: Failing(("kill",), (40, 110), (1, 10)),
    DATABASE: Failing(("fast", "immediate", "kill"), (80, 150), (2, 10)),
}
"""What fails, by the id of a DAG or the name of a component."""


@dataclass(frozen=True)
class Step:
    """The beginning or the end of a failure.

    :param at: seconds from the start.
    :param part: a key of `FAILING`.
    :param begins: False for the end of the failure, when the part is mended.
    """

    at: float
    part: str
    way: Way
    begins: bool


def steps(seed: int, part: str, seconds: float) -> Iterator[Step]:
    """Yield the failures of a part in their order. At the end, the part is mended."""
    random = Random(f"{seed} {part}")  # noqa: S311 (nothing secret)
    failing = FAILING[part]
    scale = min(1, seconds / _SHORT)
    at = 0.0
    while (at := at + scale * random.uniform(*failing.pause)) < seconds:
        way = random.choice(failing.ways)
        yield Step(at, part, way, begins=True)
        at = min(seconds, at + random.uniform(*failing.length))
        yield Step(at, part, way, begins=False)
