"""The cases: where something dies, what dies there, and what has to come of it."""

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
Then = Literal["store", "delete", "clear"]
DagId = Literal["kills_deferred", "kills_worker", "kills_once", "kills_resubmit"]

POINTS: dict[Point, str] = {
    "intent": "before the intent",
    "post": "after the intent, before the POST",
    "request": "in the POST, before it is processed",
    "answer": "in the POST, after it was processed",
    "id": "after the answer, before the id is stored",
    "defer": "after the id is stored, before the wait",
    "deferred": "deferred; another triggerer, then the end",
    "meanwhile": "deferred; the end, then another triggerer",
    "resuming": "resuming, while the record is read",
    "waiting": "waiting in the worker",
    "cleared": "deferred, and cleared by a user",
    "failed": "not at all; the execution FAILED",
}
THEN: dict[Then, str] = {
    "store": "then the id put as told, the task cleared",
    "delete": "then the record deleted as told, the task cleared",
    "clear": "then the task cleared",
}
OUTPUT = "output"
REATTACHED = "output, reattached"
ANEW = "output, submitted anew"
UNCERTAIN = "uncertain"
FAILED = "FAILED"


@dataclass(frozen=True)
class Expected:
    """What has to come of a case. The submissions are those of all the tries so far."""

    tries: int
    submissions: int
    end: str


@dataclass(frozen=True)
class Case:
    """One run of a task.

    :param then: what a user does afterwards, and what has to come of that.
    """

    point: Point
    killed: Killed
    expected: Expected
    then: tuple[Then, Expected] | None = None
    dag_id: DagId = "kills_deferred"

    @property
    def title(self) -> str:
        """What happens, in words."""
        how = {"kills_once": ", retries=0", "kills_resubmit": ", resubmit"}.get(self.dag_id, "")
        return POINTS[self.point] + how

    @property
    def rows(self) -> Iterator[tuple[str, Expected]]:
        """Names of its rows, and what is expected of them."""
        yield f"{self.title}: {self.killed}", self.expected
        if self.then:
            yield f"{self.title}: {self.killed}, {THEN[self.then[0]]}", self.then[1]


_ONCE = Expected(1, 1, OUTPUT)
_SUBMITTED = Expected(2, 1, OUTPUT)
_REATTACHED = Expected(2, 1, REATTACHED)
_UNCERTAIN = Expected(2, 1, UNCERTAIN)
_UNSENT = Expected(2, 0, UNCERTAIN)
_ANEW = Expected(2, 2, ANEW)
_CLEARED = Expected(3, 2, ANEW)

# In the order in which they begin: those that take longest come first.
CASES = (
    Case("deferred", "triggerer", _ONCE),
    Case("meanwhile", "triggerer", _ONCE),
    Case("resuming", "supervisor", _REATTACHED),
    Case("resuming", "both", _REATTACHED),
    Case("resuming", "task", _REATTACHED),
    Case("intent", "supervisor", _SUBMITTED),
    Case("intent", "both", _SUBMITTED),
    Case("post", "supervisor", _UNCERTAIN),  # the orphan sends it, after all
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
    Case("answer", "task", _ANEW, dag_id="kills_resubmit"),
    Case("failed", "nothing", Expected(1, 1, FAILED), ("clear", _ANEW)),
    Case("failed", "nothing", _ANEW, dag_id="kills_resubmit"),
    Case("cleared", "nothing", Expected(2, 1, REATTACHED), ("clear", _CLEARED)),
    Case("intent", "scheduler", _SUBMITTED, dag_id="kills_once"),
    Case("post", "scheduler", _UNSENT, dag_id="kills_once"),
    Case("answer", "scheduler", _UNCERTAIN, dag_id="kills_once"),
    Case("waiting", "scheduler", _REATTACHED, dag_id="kills_once"),
)
