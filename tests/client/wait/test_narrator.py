"""`Narrator`: what a wait logs about progress and failures, and how old the execution or run was."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.wait.followed import Snapshot
from airflow_provider_whiterabbit.client.wait.narrator import MAX_KINDS, Narrator
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, WORKFLOW_RUN
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitResponseError,
    WhiteRabbitServerError,
    WhiteRabbitStreamError,
    WhiteRabbitTransportError,
)

CREATED_AT = "2020-02-02T10:00:00.000Z"
"""A time far from this machine's clock."""

UPDATED_AT = "2020-02-02T10:00:03.200Z"

TIMING = Timing()

Logged = Callable[[], list[tuple[str, str]]]
"""Returns the level and the message of each log entry."""


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    """Return a function that returns what was logged."""
    caplog.set_level(logging.INFO)
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the seconds of the clock."""
        return self.now


def narrator_of(name: str = "Execution e-1", clock: Clock | None = None) -> Narrator:
    """Return a narrator with the times of production."""
    return Narrator(name, TIMING, clock or Clock())


def record(status: str = "EXECUTING", **times: str) -> Snapshot:
    """Return the record of an execution."""
    return EXECUTION.followed("e-1").record_of({"id": "e-1", "status": status, "output": 1, "error": 2, **times})


def event(status: str = "EXECUTING", **times: str) -> Snapshot:
    """Return an event of an execution."""
    return EXECUTION.followed("e-1").event_of(
        b"data: %s\n\n" % json.dumps({"id": "e-1", "status": status, "output": 1, "error": 2, **times}).encode()
    )


def glance(status: str = "EXECUTING", **times: Any) -> Snapshot:
    """Return the first members of the record of an execution."""
    return EXECUTION.followed("e-1").glance_of({"id": "e-1", "status": status, **times})


@pytest.mark.parametrize("snapshot_of", [record, event, glance])
def test_each_status_is_logged_once(snapshot_of: Callable[[str], Snapshot], logged: Logged) -> None:
    """Each status is logged once and at once, also when another one was logged in between, or long ago."""
    clock = Clock()
    narrator = narrator_of(clock=clock)
    for status in ("CREATED", "CREATED", "EXECUTING", "CREATED", "EXECUTING"):
        narrator.tell_progress(snapshot_of(status))
        assert narrator.has_told(status)
    clock.now += 1000
    for status in ("CREATED", "EXECUTING"):
        narrator.tell_progress(snapshot_of(status))
    assert logged() == [("INFO", "Execution e-1: CREATED"), ("INFO", "Execution e-1: EXECUTING")]


def run_event(open_count: int, status: str = "EXECUTING") -> Snapshot:
    """Return an event of a workflow run with 9 stages."""
    followed = WORKFLOW_RUN.followed("r-1")
    stages = [{"id": str(n), "status": "RUNNING"} for n in range(9)]
    followed.record_of({"id": "r-1", "status": "EXECUTING", "runStages": stages})
    data = {"id": "r-1", "status": status, "output": {"nonTerminalStages": stages[:open_count]}}
    return followed.event_of(b"data: %s\n\n" % json.dumps(data).encode())


def test_progress_is_logged_at_intervals(logged: Logged) -> None:
    """Progress with the same status is logged at most once per interval, and a new status at once."""
    clock = Clock()
    narrator = narrator_of("Run", clock)
    for step in range(90):
        clock.now = 100 + step / 10
        narrator.tell_progress(run_event(9 - step // 10))
    narrator.tell_progress(run_event(0, "COMPLETED"))
    assert [message for _, message in logged()] == [
        "Run: EXECUTING, 0 of 9 stages done",
        "Run: EXECUTING, 5 of 9 stages done",
        "Run: COMPLETED, 9 of 9 stages done",
    ]


def test_when_progress_is_due() -> None:
    """A line is due at first, and again after the interval, whether or not the last look at it logged something."""
    clock = Clock()
    narrator = narrator_of("Run", clock)
    assert narrator.progress_due_in == 0
    narrator.tell_progress(run_event(9))
    assert narrator.progress_due_in == TIMING.progress_interval
    clock.now += 2 * TIMING.progress_interval
    assert narrator.progress_due_in == 0
    narrator.tell_progress(run_event(9))
    assert narrator.progress_due_in == TIMING.progress_interval


def alive_lines(told: Logged, *before: Snapshot, minutes: float, wall: float = 0.0) -> list[str]:
    """Return what a wait logs that has seen these snapshots, each 1,000 s apart, and then nothing for so long.

    :param wall: the wall clock's time then, in seconds after `CREATED_AT`.
    """
    clock = Clock()
    created_at = datetime.fromisoformat(CREATED_AT).timestamp()
    narrator = Narrator("Execution e-1", TIMING, clock, lambda: created_at + wall)
    for snapshot in before:
        clock.now += 1000
        narrator.tell_progress(snapshot)
    logged_before = len(told())
    clock.now += 60 * minutes
    narrator.tell_alive("the stream is alive")
    narrator.tell_alive("the stream is alive")
    return [message for _, message in told()[logged_before:]]


@pytest.mark.parametrize(
    ("wall", "age"),
    [(725, "12 min"), (3 * 3600 + 59, "3 h 1 min"), (36 * 3600, "36 h 0 min"), (-100, "0 min")],
)
def test_a_wait_without_news(wall: float, age: str, logged: Logged) -> None:
    """A wait without news says once per interval that it goes on, and how long ago the execution was created."""
    executing = record(createdAt=CREATED_AT, updatedAt=UPDATED_AT)
    assert alive_lines(logged, executing, minutes=4.9, wall=wall) == []
    lines = alive_lines(logged, executing, minutes=5, wall=wall)
    assert lines == [f"Execution e-1: still EXECUTING, {age} after it was created; the stream is alive"]


def test_a_wait_without_news_or_times(logged: Logged) -> None:
    """Without a creation time the line has no age; an unknown status, and none at all, are named as they are."""
    paused = glance("PAUSED", completed=False)
    assert alive_lines(logged, record(), minutes=5) == ["Execution e-1: still EXECUTING; the stream is alive"]
    assert alive_lines(logged, record(), paused, minutes=5) == ["Execution e-1: still 'PAUSED'; the stream is alive"]
    assert alive_lines(logged, minutes=5) == ["Execution e-1: its status is not known yet; the stream is alive"]
    beyond = record(createdAt="0001-01-01T00:00:00+01:00")
    assert alive_lines(logged, beyond, minutes=5)[0].startswith("Execution e-1: still EXECUTING")


def test_news_delay_the_line_without_news(logged: Logged) -> None:
    """The interval begins again with each line about progress."""
    clock = Clock()
    narrator = narrator_of("Run", clock)
    for done in range(4):
        clock.now += 200
        narrator.tell_progress(run_event(9 - done))
        narrator.tell_alive("the stream is alive")
        assert narrator.alive_due_in == TIMING.alive_interval
    assert len(logged()) == 4
    clock.now += TIMING.alive_interval
    narrator.tell_alive("the stream is alive")
    assert logged()[4:] == [("INFO", "Run: still EXECUTING, 3 of 9 stages done; the stream is alive")]


def test_an_unknown_status_is_no_progress(logged: Logged) -> None:
    """An unknown status is kept as the last known one, and is no progress; the parser warns of it."""
    narrator = narrator_of()
    unknown = glance("PAUSED", completed=False)
    logged_before = logged()
    narrator.tell_progress(unknown)
    assert (narrator.status, narrator.has_told("PAUSED"), logged()) == ("PAUSED", False, logged_before)


def test_last_known_status() -> None:
    """A narrator keeps the last known status, also one that it does not log again."""
    narrator = narrator_of("Execution e-1")
    assert narrator.status is None
    for status in ("CREATED", "EXECUTING", "CREATED"):
        narrator.tell_progress(record(status))
    assert narrator.status == "CREATED"


@pytest.mark.parametrize("snapshot_of", [record, glance])
def test_age(snapshot_of: Callable[..., Snapshot], logged: Logged) -> None:
    """The age is the difference of two times of White Rabbit, so this machine's clock does not matter."""
    narrator_of("Execution e-1").tell_progress(snapshot_of(createdAt=CREATED_AT, updatedAt=UPDATED_AT))
    assert logged() == [("INFO", "Execution e-1: EXECUTING, 3.2 s after it was created")]


def test_age_of_a_workflow_run(logged: Logged) -> None:
    """The age of a workflow run follows its progress."""
    data = {"id": "r-1", "status": "EXECUTING", "runStages": [], "createdAt": CREATED_AT, "updatedAt": UPDATED_AT}
    narrator_of("Workflow run r-1").tell_progress(WORKFLOW_RUN.followed("r-1").record_of(data))
    assert logged() == [
        ("INFO", "Workflow run r-1: EXECUTING, 0 of 0 stages done, 3.2 s after it was created"),
    ]


@pytest.mark.parametrize("times", [{}, {"createdAt": CREATED_AT}, {"updatedAt": UPDATED_AT}])
@pytest.mark.parametrize("snapshot_of", [record, glance])
def test_no_age_without_both_times(snapshot_of: Callable[..., Snapshot], times: dict[str, str], logged: Logged) -> None:
    """A record without one of the two times is logged without an age."""
    narrator_of("Execution e-1").tell_progress(snapshot_of(**times))
    assert logged() == [("INFO", "Execution e-1: EXECUTING")]


def test_events_use_the_creation_time_of_the_record(logged: Logged) -> None:
    """The age in the log of an event is the event's time minus the creation time of the record before it."""
    narrator = narrator_of("Execution e-1")
    narrator.tell_progress(record("CREATED", createdAt=CREATED_AT, updatedAt=CREATED_AT))
    narrator.tell_progress(event("EXECUTING", timestamp=UPDATED_AT))
    assert logged() == [
        ("INFO", "Execution e-1: CREATED, 0.0 s after it was created"),
        ("INFO", "Execution e-1: EXECUTING, 3.2 s after it was created"),
    ]


def test_a_missing_creation_time_is_not_invented(logged: Logged) -> None:
    """Without a creation time there is no age: neither an earlier event nor this machine's clock replaces it."""
    narrator = narrator_of("Execution e-1")
    narrator.tell_progress(event("CREATED", timestamp=CREATED_AT))
    narrator.tell_progress(record("EXECUTING", updatedAt=UPDATED_AT))
    narrator.tell_progress(event("COMPLETED", timestamp=UPDATED_AT))
    assert [message for _, message in logged()] == [
        "Execution e-1: CREATED",
        "Execution e-1: EXECUTING",
        "Execution e-1: COMPLETED",
    ]


def test_failures_are_logged_once(logged: Logged) -> None:
    """Failures of one kind are logged once per interval, with the number of those in between; other kinds too."""
    clock = Clock()
    narrator = narrator_of(clock=clock)
    reset, silent = WhiteRabbitTransportError("connection reset"), WhiteRabbitStreamError("the stream was silent")
    for error in (reset, silent, reset, WhiteRabbitTransportError("refused by port 50123")):
        narrator.tell_trouble(error)
    clock.now += TIMING.trouble_interval - 1
    narrator.tell_trouble(reset)
    clock.now += 1
    narrator.tell_trouble(WhiteRabbitTransportError("refused by port 50124"))
    messages = ["connection reset", "the stream was silent", "refused by port 50124"]
    expected = [("WARNING", f"Execution e-1: {message}; the wait continues") for message in messages]
    *first, (level, last) = logged()
    assert [*first, (level, last.partition(" (")[0])] == expected
    assert last.endswith("(3 more failures of this kind since the last message)")


def test_kinds_of_refusals(logged: Logged) -> None:
    """HTTP errors are told apart by status and codes, and not by messages, which may hold the id of a request."""
    narrator = narrator_of()
    for request_id in range(50):
        for status, code in ((500, "A"), (500, "B"), (503, "A")):
            narrator.tell_trouble(WhiteRabbitServerError(status, "GET", "/p", ((code, f"request {request_id}"),)))
    assert len(logged()) == 3


def test_kinds_are_bounded(logged: Logged) -> None:
    """A server that invents an error code for each answer does not fill the log."""
    narrator = narrator_of()
    for number in range(500):
        narrator.tell_trouble(WhiteRabbitResponseError(418, "GET", "/p", ((f"CODE_{number}", "no"),)))
    assert len(logged()) == MAX_KINDS + 1


def test_polling_is_logged_once(logged: Logged) -> None:
    """A stream that is refused again and again for the same reason is logged once per interval."""
    clock = Clock()
    narrator = narrator_of(clock=clock)
    for _ in range(36):
        narrator.tell_polling(WhiteRabbitStreamError("no"), 10.0)
        clock.now += 100
    assert len(logged()) == 3600 / TIMING.trouble_interval


def test_polling_is_logged(logged: Logged) -> None:
    """A refused stream is logged as a warning with the reason and the poll interval."""
    narrator_of("Execution e-1").tell_polling(WhiteRabbitStreamError("White Rabbit answered 403"), 10.0)
    assert logged() == [
        ("WARNING", "Execution e-1: the stream was refused (White Rabbit answered 403); polling every 10 s")
    ]


@pytest.mark.parametrize(
    ("created_at", "updated_at"),
    [
        ("0001-01-01T00:00:00+01:00", "2024-01-01T00:00:00+01:00"),
        ("2024-01-01T00:00:00-05:00", "9999-12-31T23:59:59-05:00"),
        ("2024-01-01T00:00:00+24:00", "2024-01-01T00:00:01Z"),
    ],
)
def test_times_that_cannot_be_subtracted(created_at: str, updated_at: str, logged: Logged) -> None:
    """Times at the ends of the calendar, or with an impossible offset, leave the age out and raise nothing."""
    narrator_of("Execution e-1").tell_progress(record("COMPLETED", createdAt=created_at, updatedAt=updated_at))
    assert [message.partition(",")[0] for _, message in logged()][-1] == "Execution e-1: COMPLETED"
