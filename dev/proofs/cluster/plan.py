"""The plan of a run: which executions each case has, by which tasks, and how long each takes. A seed gives it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random

MODULE = "CLUSTER"
SHORT_MODULE = "CLUSTER_SHORT"
"""The component of executions that a task waits for in its worker."""

CALLED_MODULE = "CLUSTER_CALLED"
"""The component whose executions start runs of `CALLED_DAG` when they end."""

MODULES = (MODULE, SHORT_MODULE, CALLED_MODULE)

CALLED_DAG = "cluster_called"

MIX = (
    *("component", "once", "triggerer", "many", "ending", "called", "once", "worker", "deferred", "component", "many"),
    *("workflow", "once", "ending", "triggerer", "component", "many", "called", "once", "rescheduled", "deferred"),
    *("component", "workflow"),
)
"""The ways through which executions go, in turns:

- operators, which submit: ``component`` (ends in a worker), ``ending`` (ends in the triggerer), ``worker`` (waits in
  the worker) and ``workflow``,
- sensors, which wait: ``deferred``, ``rescheduled`` and ``triggerer`` (starts and ends in the triggerer),
- ``called``: an operator that does not wait, and the DAG that the callback starts,
- ``once``: tasks that submit under `KEYS` keys each, and ``many``: operators that submit as many inputs.
"""

SENSORS = frozenset({"deferred", "rescheduled", "triggerer"})
"""The ways whose executions the proof itself creates."""

KEYED = frozenset({"once", "many"})
"""The ways of which each task has several executions."""

KEYS = 3

STAGES = 2
"""How many stages each workflow has."""

SHORTEST, LONGEST = 4.0, 40.0
"""Seconds that an execution takes. Those that a task waits for in its worker take no longer than `IN_WORKER`."""

IN_WORKER = 8.0


@dataclass(frozen=True)
class Unit:
    """An execution or a workflow run, and the task instance that it belongs to.

    :param case: number of the case.
    :param number: number of the task instance among those of its way.
    :param key: number of the execution in the task, for the ways of `KEYED`; otherwise 0.
    :param seconds: how long it takes.
    """

    case: int
    way: str
    number: int
    key: int
    seconds: float

    @property
    def name(self) -> str:
        """The unit's name, which is also its key for `once`, and the id of its workflow."""
        return f"case-{self.case}-{self.way}-{self.number}" + (f"-{self.key}" if self.way in KEYED else "")

    @property
    def record_key(self) -> str:
        """The key of the submission's record among those of its task; empty if the task has one record."""
        return {"once": self.name, "many": f"inputs[{self.key}]"}.get(self.way, "")

    @property
    def module(self) -> str:
        """The component that is executed."""
        return {"called": CALLED_MODULE, "worker": SHORT_MODULE, "once": SHORT_MODULE}.get(self.way, MODULE)

    @property
    def dag_id(self) -> str:
        """Id of the DAG that the task belongs to."""
        return f"cluster_{self.case}"

    @property
    def task(self) -> tuple[str, int]:
        """The task's id and map index. A sensor that starts in the triggerer can't be mapped."""
        return (f"{self.way}_{self.number}", -1) if self.way == "triggerer" else (self.way, self.number)

    @property
    def result(self) -> dict[str, str]:
        """The output of the execution."""
        return output_of({"unit": self.name})


def output_of(inputs: Mapping[str, str], _config: object = None) -> dict[str, str]:
    """Return the output of an execution with this input."""
    return {"receipt": f"receipt of {inputs['unit']}"}


def units(seed: int, cases: int, executions: int) -> list[list[Unit]]:
    """Return the units of each case: all cases together have so many."""
    counts = [executions * (case + 1) // cases - executions * case // cases for case in range(cases)]
    return [list(_units(Random(f"{seed} {case}"), case, count)) for case, count in enumerate(counts)]  # noqa: S311


def _units(random: Random, case: int, count: int) -> Iterator[Unit]:
    made: Counter[str] = Counter()
    for way in islice(cycle(MIX), count):
        number, key = divmod(made[way], KEYS) if way in KEYED else (made[way], 0)
        made[way] += 1
        seconds = random.uniform(SHORTEST, IN_WORKER if way in ("worker", "once") else LONGEST)
        yield Unit(case, way, number, key, round(seconds, 1))


def names_of(units: Iterable[Unit], way: str) -> list[str]:
    """Return the names of the units of one way."""
    return [unit.name for unit in units if unit.way == way]


def names_by_task(units: Iterable[Unit], way: str) -> list[list[str]]:
    """Return the names of the units of a way of `KEYED`, in a list for each task instance."""
    names = names_of(units, way)
    return [names[start : start + KEYS] for start in range(0, len(names), KEYS)]
