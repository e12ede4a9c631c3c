"""Records and answers to submissions that have the form of the API, and a content that its document does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dev.proofs.hostile.case import Case
from dev.proofs.hostile.cases.json_texts import BOTH, HOSTILE, record
from dev.proofs.hostile.cases.plays import body, broken, valid

_API = "White Rabbit API"
POLL = f"{_API}, Poll"
WORKFLOWS = f"{_API}, Workflows"
SUBMIT = f"{_API}, Execute a component"


def _goes_on(name: str, play: Any, clause: str = POLL, **more: Any) -> Case:
    """Return the case of two records after which a wait goes on."""
    return broken(name, clause, play, "record", **({"times": 2, "targets": BOTH} | more))


def _ends(name: str, play: Any, clause: str = POLL, **more: Any) -> Case:
    """Return the case of a record that tells the end."""
    return valid(name, clause, play, "record", **({"targets": BOTH} | more))


def _wrong(name: str, play: Any, clause: str = POLL, **more: Any) -> Case:
    """Return the case of a record that ends a wait with an error."""
    return Case(name, clause, play, **({"record": "error", "times": None, "targets": BOTH, "timeout": 10.0} | more))


def _hostile() -> Iterator[Case]:
    for name, text in HOSTILE.items():
        yield _goes_on(f"an unknown status with {name}", record("EXECUTING", status=f"PAUSED{text}"))
        yield _wrong(f"the id of another execution, with {name}", record("EXECUTING", id=f"7{text}"))


def _stages(count: int, status: str = "FAILED") -> list[dict[str, Any]]:
    failed = {"error": {"message": "no funds " * 50}, "module": "PAY" * 50, "output": None}
    return [{"id": f"s{number}", "status": status, **failed} for number in range(count)]


def _submission(name: str, data: dict[str, Any], **more: Any) -> Case:
    return Case(
        name,
        SUBMIT,
        body(lambda server: server.json("CREATED", **data)),
        submission="uncertain",
        ways=("component",),
        **more,
    )


CASES = (
    _goes_on("an unknown status, not completed", record("EXECUTING", status="PAUSED", completed=False)),
    _goes_on("EXECUTING, but completed", record("EXECUTING", completed=True)),
    _goes_on("CREATED after EXECUTING", record("CREATED")),
    _wrong("an unknown status, completed", record("EXECUTING", status="ABORTED", completed=True)),
    _wrong("no status", record("EXECUTING", status=None)),
    _wrong("a status that is a number", record("EXECUTING", status=3)),
    _wrong("a status in an array", record("EXECUTING", status=["COMPLETED"])),
    _wrong("an empty id", record("COMPLETED", id="")),
    _wrong("an id that is a number", record("COMPLETED", id=7)),
    _wrong("the id of another execution", record("COMPLETED", id="00000000-0000-0000-0000-000000000007")),
    *_hostile(),
    _ends("COMPLETED, but not completed", record(completed=False)),
    _ends("COMPLETED with an error", record(error="a warning")),
    _ends("COMPLETED with null for completed", record(completed=None)),
    _ends(
        "times at the ends of the calendar",
        record(createdAt="0001-01-01T00:00:00+14:00", updatedAt="9999-12-31T23:59:60Z"),
    ),
    _ends("times in an unknown form", record(createdAt={"seconds": 7}, updatedAt="now")),
    _ends("members in unknown forms", record(callback=[], totalUsage=[], module=7, cancelReason={})),
    _ends("null for an output", record(output=None), targets=("execution",)),
    _ends("COMPLETED with failed stages", record(runStages=_stages(2)), WORKFLOWS, targets=("run",)),
    _ends("stages with unknown statuses", record(runStages=_stages(2, "SKIPPED")), WORKFLOWS, targets=("run",)),
    _ends(
        "COMPLETED after a request to cancel",
        record(cancelRequestedAt="2026-04-20T10:00:00Z"),
        WORKFLOWS,
        targets=("run",),
    ),
    _goes_on(
        "a request to cancel",
        record("EXECUTING", cancelRequestedAt="2026-04-20T10:00:00Z"),
        WORKFLOWS,
        targets=("run",),
    ),
    _goes_on("4,000 open stages", record("EXECUTING", runStages=_stages(4000, "RUNNING")), WORKFLOWS, targets=("run",)),
    Case("FAILED without a reason", POLL, record("FAILED", error=None), record="failed", times=None, targets=BOTH),
    Case(
        "FAILED with 5,000 failed stages",
        WORKFLOWS,
        record("FAILED", runStages=_stages(5000)),
        record="failed",
        times=None,
        targets=("run",),
    ),
    Case(
        "CANCELED with a reason of 1 MB",
        WORKFLOWS,
        record("CANCELED", cancelReason="x" * 1_000_000),
        record="failed",
        times=None,
        targets=("run",),
    ),
    _submission("an accepted submission without an id", {"id": None}),
    _submission("an accepted submission with an id that is a path", {"id": "../../v1/keys"}),
    _submission("an accepted submission with half an emoji as its id", {"id": "\ud83d"}),
    Case(
        "an accepted submission with an unknown status",
        SUBMIT,
        body(lambda server: server.json("QUEUED", completed=False)),
        submission="submitted",
        ways=("component",),
    ),
)
