"""What a case of the kills is: its steps, and how its tasks must end; and the rows that the table shows of a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dev.proofs.kills.scene import Scene
    from dev.proofs.kills.steps import Steps

Killed = Literal["nothing", "task", "supervisor", "both", "triggerer", "scheduler", "parent task"]


@dataclass(frozen=True)
class Outcome:
    """How a task ends.

    :param tries: the number of the task's last try.
    :param submitted: the payees of the submissions that White Rabbit has received in all tries.
    :param returned: whose receipt the task returned, or why it failed.
    """

    tries: int
    submitted: str
    returned: str


@dataclass(frozen=True)
class RowSpec:
    """The specification of a row of the table: how a task must end, and what was asked of the task until then.

    :param label: what happened since the previous row; empty in a case's first row.
    :param asked: how many submissions were asked for since the task's previous row: one for the first run or a clear
        after the end, one for the answer to submit, none for the answer to take an earlier execution, and one more
        where the DAG's options say that a retry submits anew.
    :param index: map index of the task.
    :param takes_other: whether a person has answered that the task takes an execution of another request.
    :param warning: a text that exactly one message in the log of the last try must contain.
    """

    label: str
    expected: Outcome
    asked: int = 1
    index: int = -1
    takes_other: bool = False
    warning: str = ""


@dataclass(frozen=True)
class Case:
    """One or more tasks, what happens to them, and how they must end.

    :param point: the point at which something happens; cases with the same point can wait for each other.
    :param steps: the steps of the case; they record a row for each item of `rows`.
    :param last: whether the case needs all cases that are not `last` to end before something happens to it.
    """

    point: str
    killed: Killed
    title: str
    rows: tuple[RowSpec, ...]
    steps: Callable[[Scene], Steps[None]]
    last: bool = False

    def name(self, spec: RowSpec) -> str:
        """Return the unique name of a row."""
        return ": ".join(filter(None, [self.title, self.killed, spec.label]))


@dataclass(frozen=True)
class Row:
    """A row of the table: how a task has ended.

    :param actual: None if the case did not get that far.
    :param submissions: how many submissions White Rabbit has received since the task's previous row.
    :param is_foreign: whether the task returned the output of an execution that executed another input than the task
        asks for, without an answer of a person that says so.
    :param unexpected: what differs from the specification, with the end of the task's log; empty if nothing does.
    """

    name: str
    spec: RowSpec
    actual: Outcome | None
    submissions: int = 0
    is_foreign: bool = False
    unexpected: str = ""

    @property
    def unasked(self) -> int:
        """How many submissions nobody asked for."""
        return max(0, self.submissions - self.spec.asked)
