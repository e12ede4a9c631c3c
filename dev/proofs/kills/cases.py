"""The cases of the kills: at which point of a submission which process is killed, and how the task must end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Point = Literal[
    "intent",
    "post",
    "request",
    "answer",
    "id",
    "defer",
    "deferred",
    "meanwhile",
    "resuming",
    "waiting",
    "cleared",
    "failed",
]
Killed = Literal["nothing", "task", "supervisor", "both", "triggerer", "scheduler"]
Remedy = Literal["store", "delete", "clear"]
DagId = Literal["kills_deferred", "kills_worker", "kills_once", "kills_resubmit"]

POINTS: dict[Point, str] = {
    "intent": "before the intent is stored",
    "post": "after the intent is stored, before the POST",
    "request": "during the POST, before it is processed",
    "answer": "during the POST, after it is processed",
    "id": "after the answer, before the id is stored",
    "defer": "after the id is stored, before the wait",
    "deferred": "deferred; new triggerer, then execution ends",
    "meanwhile": "deferred; execution ends, then new triggerer",
    "resuming": "resuming, while the record is read",
    "waiting": "waiting in the worker",
    "cleared": "no kill; a user clears the deferred task",
    "failed": "no kill; the execution is FAILED",
}
"""The points, and their descriptions in the table."""

REMEDIES: dict[Remedy, str] = {
    "store": "then a user stores the id and clears the task",
    "delete": "then a user deletes the record, clears the task",
    "clear": "then a user clears the task",
}
"""What a user does after the first end of the task, and its description in the table."""

OUTPUT = "output"
REATTACHED = "output, reattached"
RESUBMITTED = "output, resubmitted"
UNCERTAIN = "uncertain"
FAILED = "FAILED"


@dataclass(frozen=True)
class Expected:
    """How a task ends.

    :param tries: the number of the task's last try.
    :param submissions: how many submissions the emulator has received in all tries.
    """

    tries: int
    submissions: int
    end: str


@dataclass(frozen=True)
class Case:
    """One run of a task and the specification of its end.

    :param point: the point at which the process is killed.
    :param expected: how the task must end.
    :param remedy: what a user does afterwards, and how the task must end then.
    """

    point: Point
    killed: Killed
    expected: Expected
    remedy: tuple[Remedy, Expected] | None = None
    dag_id: DagId = "kills_deferred"

    @property
    def title(self) -> str:
        """The description of the point and of the operator's options."""
        options = {"kills_once": ", retries=0", "kills_resubmit": ", resubmit"}.get(self.dag_id, "")
        return POINTS[self.point] + options

    @property
    def rows(self) -> Iterator[tuple[str, Expected]]:
        """The names of the case's rows in the table, each with how the task must end."""
        yield f"{self.title}: {self.killed}", self.expected
        if self.remedy:
            yield f"{self.title}: {self.killed}, {REMEDIES[self.remedy[0]]}", self.remedy[1]


_ONCE = Expected(1, 1, OUTPUT)
_SUBMITTED = Expected(2, 1, OUTPUT)
_REATTACHED = Expected(2, 1, REATTACHED)
_UNCERTAIN = Expected(2, 1, UNCERTAIN)
_UNSENT = Expected(2, 0, UNCERTAIN)
_RESUBMITTED = Expected(2, 2, RESUBMITTED)
_CLEARED = Expected(3, 2, RESUBMITTED)

# The cases start in this order: those that take longest come first.
CASES = (
    Case("deferred", "triggerer", _ONCE),
    Case("meanwhile", "triggerer", _ONCE),
    Case("resuming", "supervisor", _REATTACHED),
    Case("resuming", "both", _REATTACHED),
    Case("resuming", "task", _REATTACHED),
    Case("intent", "supervisor", _SUBMITTED),
    Case("intent", "both", _SUBMITTED),
    Case("post", "supervisor", _UNCERTAIN),  # the surviving task process sends the POST
    Case("post", "both", _UNSENT),
    Case("request", "supervisor", _UNCERTAIN),
    Case("request", "both", _UNCERTAIN),
    Case("answer", "supervisor", _UNCERTAIN),
    Case("answer", "both", _UNCERTAIN),
    Case("id", "supervisor", _UNCERTAIN),
    Case("id", "both", _UNCERTAIN),
    Case("defer", "supervisor", _REATTACHED),
    Case("defer", "both", _REATTACHED),
    Case("waiting", "supervisor", _REATTACHED, dag_id="kills_worker"),
    Case("waiting", "both", _REATTACHED, dag_id="kills_worker"),
    Case("waiting", "task", _REATTACHED, dag_id="kills_worker"),
    Case("intent", "task", _SUBMITTED),
    Case("post", "task", _UNSENT, ("delete", Expected(3, 1, OUTPUT))),
    Case("request", "task", _UNCERTAIN, ("store", Expected(3, 1, REATTACHED))),
    Case("answer", "task", _UNCERTAIN, ("store", Expected(3, 1, REATTACHED))),
    Case("id", "task", _UNCERTAIN, ("clear", Expected(3, 1, UNCERTAIN))),
    Case("defer", "task", _REATTACHED, ("clear", _CLEARED)),
    Case("answer", "task", _RESUBMITTED, dag_id="kills_resubmit"),
    Case("failed", "nothing", Expected(1, 1, FAILED), ("clear", _RESUBMITTED)),
    Case("failed", "nothing", _RESUBMITTED, dag_id="kills_resubmit"),
    Case("cleared", "nothing", Expected(2, 1, REATTACHED), ("clear", _CLEARED)),
    Case("intent", "scheduler", _SUBMITTED, dag_id="kills_once"),
    Case("post", "scheduler", _UNSENT, dag_id="kills_once"),
    Case("answer", "scheduler", _UNCERTAIN, dag_id="kills_once"),
    Case("waiting", "scheduler", _REATTACHED, dag_id="kills_once"),
)
