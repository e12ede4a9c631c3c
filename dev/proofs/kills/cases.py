"""The cases of the kills: what happens at which point of a submission, and how the tasks must end."""

from __future__ import annotations

from dev.proofs.kills import changes, moments
from dev.proofs.kills.case import Case, Killed, Outcome, RowSpec
from dev.proofs.kills.killing import KEYED_DAG, MANY_DAG, MANY_WORKER_DAG, SUBMIT_TWICE, Kill, Point, Remedy

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
"""The points at which a process is killed, and their descriptions in the table."""

_REMEDIES: dict[Remedy, str] = {
    "there": 'a user answers "there" with the id',
    "submit": 'a user answers "submit"',
    "store": "a user stores the id, and clears the task",
    "clear": "a user clears the task",
}
_OPTIONS = {
    "kills_once": ", retries=0",
    "kills_resubmit": ", resubmit",
    KEYED_DAG: ", second key",
    MANY_DAG: ", second input",
    MANY_WORKER_DAG: ", second input, worker",
}

_ALICE_1 = "alice's receipt 1"
_ALICE_2 = "alice's receipt 2 (resubmitted)"
_UNCERTAIN = "doubt: uncertain"

ONCE = Outcome(1, "alice", _ALICE_1)
SUBMITTED = Outcome(2, "alice", _ALICE_1)
REATTACHED = Outcome(2, "alice", f"{_ALICE_1} (reattached)")
UNCERTAIN = Outcome(2, "alice", _UNCERTAIN)
UNSENT = Outcome(2, "nothing", _UNCERTAIN)
RESUBMITTED = Outcome(2, "alice, alice", _ALICE_2)
CLEARED = Outcome(3, "alice, alice", _ALICE_2)
FOUND = Outcome(3, "alice", f"{_ALICE_1} (reattached)")


def _kill(
    point: Point,
    killed: Killed,
    expected: Outcome,
    remedy: tuple[Remedy, Outcome] | None = None,
    dag_id: str = "kills_deferred",
) -> Case:
    """Return a case that kills a process at a point of the submission.

    :param remedy: what a user does afterwards, and how the task must end then.
    """
    rows = [RowSpec("", expected, asked=2 if dag_id in ("kills_resubmit", *SUBMIT_TWICE) else 1)]
    if remedy:
        rows.append(RowSpec(_REMEDIES[remedy[0]], remedy[1], asked=0 if remedy[0] in ("there", "store") else 1))
    steps = Kill(point, killed, dag_id, remedy[0] if remedy else None)
    title = POINTS[point] + _OPTIONS.get(dag_id, "")
    return Case(point, killed, title, tuple(rows), steps, last=killed == "scheduler")


KILLS = (
    _kill("deferred", "triggerer", ONCE),
    _kill("meanwhile", "triggerer", ONCE),
    _kill("resuming", "supervisor", REATTACHED),
    _kill("resuming", "both", REATTACHED),
    _kill("resuming", "task", REATTACHED),
    _kill("post", "task", UNSENT, ("submit", Outcome(3, "alice", f"{_ALICE_1} (resubmitted)"))),
    _kill("request", "task", UNCERTAIN, ("there", FOUND)),
    _kill("answer", "task", UNCERTAIN, ("store", FOUND)),
    _kill("intent", "supervisor", SUBMITTED),
    _kill("intent", "both", SUBMITTED),
    _kill("post", "supervisor", UNCERTAIN),  # the surviving task process sends the POST
    _kill("post", "both", UNSENT),
    _kill("request", "supervisor", UNCERTAIN),
    _kill("request", "both", UNCERTAIN),
    _kill("answer", "supervisor", UNCERTAIN),
    _kill("answer", "both", UNCERTAIN),
    _kill("id", "supervisor", UNCERTAIN),
    _kill("id", "both", UNCERTAIN),
    _kill("defer", "supervisor", REATTACHED),
    _kill("defer", "both", REATTACHED),
    _kill("waiting", "supervisor", REATTACHED, dag_id="kills_worker"),
    _kill("waiting", "both", REATTACHED, dag_id="kills_worker"),
    _kill("waiting", "task", REATTACHED, dag_id="kills_worker"),
    _kill("intent", "task", SUBMITTED),
    _kill("id", "task", UNCERTAIN, ("clear", Outcome(3, "alice", _UNCERTAIN))),
    _kill("defer", "task", REATTACHED, ("clear", CLEARED)),
    _kill("answer", "task", RESUBMITTED, dag_id="kills_resubmit"),
    _kill("failed", "nothing", Outcome(1, "alice", "FAILED"), ("clear", RESUBMITTED)),
    _kill("failed", "nothing", RESUBMITTED, dag_id="kills_resubmit"),
    _kill("cleared", "nothing", REATTACHED, ("clear", CLEARED)),
    _kill("intent", "scheduler", SUBMITTED, dag_id="kills_once"),
    _kill("post", "scheduler", UNSENT, dag_id="kills_once"),
    _kill("answer", "scheduler", UNCERTAIN, dag_id="kills_once"),
    _kill("waiting", "scheduler", REATTACHED, dag_id="kills_once"),
)

_BOTH_PAID = Outcome(2, "alice, bob", "bob's receipt 2 (reattached)")
_BOTH_SETTLED = Outcome(3, "alice, bob", "bob's receipt 2 (reattached)")
_BOB_UNSENT = Outcome(2, "alice", _UNCERTAIN)
_BOB_UNCERTAIN = Outcome(2, "alice, bob", _UNCERTAIN)
_BOB_SUBMITTED = Outcome(3, "alice, bob", "bob's receipt 2 (resubmitted)")

KEYED_KILLS = (
    _kill("intent", "task", _BOTH_PAID, dag_id=KEYED_DAG),
    _kill("intent", "supervisor", _BOTH_PAID, dag_id=KEYED_DAG),
    _kill("post", "task", _BOB_UNSENT, ("submit", _BOB_SUBMITTED), KEYED_DAG),
    _kill("post", "supervisor", _BOB_UNCERTAIN, dag_id=KEYED_DAG),
    _kill("request", "both", _BOB_UNCERTAIN, dag_id=KEYED_DAG),
    _kill("answer", "task", _BOB_UNCERTAIN, ("there", _BOTH_SETTLED), KEYED_DAG),
    _kill("id", "task", _BOB_UNCERTAIN, ("clear", Outcome(3, "alice, bob", _UNCERTAIN)), KEYED_DAG),
    _kill("id", "both", _BOB_UNCERTAIN, dag_id=KEYED_DAG),
    _kill("defer", "task", _BOTH_PAID, ("clear", _BOTH_SETTLED), KEYED_DAG),
    _kill("defer", "both", _BOTH_PAID, dag_id=KEYED_DAG),
)
"""The kills of a task that pays Alice and then Bob, each under a key, at the points of Bob's submission."""

_BOTH_ONCE = Outcome(1, "alice, bob", "bob's receipt 2")

MANY_KILLS = (
    _kill("deferred", "triggerer", _BOTH_ONCE, dag_id=MANY_DAG),
    _kill("meanwhile", "triggerer", _BOTH_ONCE, dag_id=MANY_DAG),
    _kill("resuming", "task", _BOTH_PAID, dag_id=MANY_DAG),
    _kill("waiting", "task", _BOTH_PAID, dag_id=MANY_WORKER_DAG),
    _kill("intent", "task", _BOTH_PAID, dag_id=MANY_DAG),
    _kill("intent", "supervisor", _BOTH_PAID, dag_id=MANY_DAG),
    _kill("post", "task", _BOB_UNSENT, ("submit", _BOB_SUBMITTED), MANY_DAG),
    _kill("post", "supervisor", _BOB_UNCERTAIN, dag_id=MANY_DAG),
    _kill("request", "both", _BOB_UNCERTAIN, dag_id=MANY_DAG),
    _kill("answer", "task", _BOB_UNCERTAIN, ("there", _BOTH_SETTLED), MANY_DAG),
    _kill("id", "task", _BOB_UNCERTAIN, ("clear", Outcome(3, "alice, bob", _UNCERTAIN)), MANY_DAG),
    _kill("id", "both", _BOB_UNCERTAIN, dag_id=MANY_DAG),
    _kill("defer", "task", _BOTH_PAID, ("clear", _BOTH_SETTLED), MANY_DAG),
    _kill("defer", "both", _BOTH_PAID, dag_id=MANY_DAG),
)
"""The kills of a task that pays Alice and then Bob with one operator, at the points of Bob's submission."""

CASES = (*changes.CASES, *KILLS, *KEYED_KILLS, *MANY_KILLS, *moments.CASES)
"""All cases, in the order in which they start: those that take longest come first."""
