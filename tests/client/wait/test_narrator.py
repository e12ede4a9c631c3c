"""`Narrator`: what a wait logs about progress and failures, and how old the execution or run was."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.wait.followed import Snapshot
from airflow_provider_whiterabbit.client.wait.narrator import Narrator
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, WORKFLOW_RUN
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError

CREATED_AT = "2020-02-02T10:00:00.000Z"
"""A time far from this machine's clock."""

UPDATED_AT = "2020-02-02T10:00:03.200Z"

Logged = Callable[[], list[tuple[str, str]]]
"""Returns the level and the message of each log entry."""


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    """Return a function that returns what was logged."""
    caplog.set_level(logging.INFO)
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def record(status: str = "EXECUTING", **times: str) -> Snapshot:
    """Return the record of an execution."""
    return EXECUTION.followed("e-1").record_of({"id": "e-1", "status": status, "output": 1, "error": 2, **times})


def event(status: str = "EXECUTING", **times: str) -> Snapshot:
    """Return an event of an execution."""
    return EXECUTION.followed("e-1").event_of({"id": "e-1", "status": status, "output": 1, "error": 2, **times})


def glance(status: str = "EXECUTING", **times: str) -> Snapshot:
    """Return the first members of the record of an execution."""
    return EXECUTION.followed("e-1").glance_of({"id": "e-1", "status": status, **times})


@pytest.mark.parametrize("snapshot_of", [record, event, glance])
def test_progress_is_logged_once(snapshot_of: Callable[[str], Snapshot], logged: Logged) -> None:
    """The same progress is logged once, also when other progress was logged in between."""
    narrator = Narrator("Execution e-1")
    for status in ("CREATED", "CREATED", "EXECUTING", "CREATED", "EXECUTING"):
        narrator.tell_progress(snapshot_of(status))
    assert logged() == [("INFO", "Execution e-1: CREATED"), ("INFO", "Execution e-1: EXECUTING")]


def test_last_known_status() -> None:
    """A narrator keeps the last known status, also one that it does not log again."""
    narrator = Narrator("Execution e-1")
    assert narrator.status is None
    for status in ("CREATED", "EXECUTING", "CREATED"):
        narrator.tell_progress(record(status))
    assert narrator.status == "CREATED"


@pytest.mark.parametrize("snapshot_of", [record, glance])
def test_age(snapshot_of: Callable[..., Snapshot], logged: Logged) -> None:
    """The age is the difference of two times of White Rabbit, so this machine's clock does not matter."""
    Narrator("Execution e-1").tell_progress(snapshot_of(createdAt=CREATED_AT, updatedAt=UPDATED_AT))
    assert logged() == [("INFO", "Execution e-1: EXECUTING, 3.2 s after it was created")]


def test_age_of_a_workflow_run(logged: Logged) -> None:
    """The age of a workflow run follows its progress."""
    data = {"id": "r-1", "status": "EXECUTING", "runStages": [], "createdAt": CREATED_AT, "updatedAt": UPDATED_AT}
    Narrator("Workflow run r-1").tell_progress(WORKFLOW_RUN.followed("r-1").record_of(data))
    assert logged() == [
        ("INFO", "Workflow run r-1: EXECUTING, 0 of 0 stages done, 3.2 s after it was created"),
    ]


@pytest.mark.parametrize("times", [{}, {"createdAt": CREATED_AT}, {"updatedAt": UPDATED_AT}])
@pytest.mark.parametrize("snapshot_of", [record, glance])
def test_no_age_without_both_times(snapshot_of: Callable[..., Snapshot], times: dict[str, str], logged: Logged) -> None:
    """A record without one of the two times is logged without an age."""
    Narrator("Execution e-1").tell_progress(snapshot_of(**times))
    assert logged() == [("INFO", "Execution e-1: EXECUTING")]


def test_events_use_the_creation_time_of_the_record(logged: Logged) -> None:
    """The age in the log of an event is the event's time minus the creation time of the record before it."""
    narrator = Narrator("Execution e-1")
    narrator.tell_progress(record("CREATED", createdAt=CREATED_AT, updatedAt=CREATED_AT))
    narrator.tell_progress(event("EXECUTING", timestamp=UPDATED_AT))
    assert logged() == [
        ("INFO", "Execution e-1: CREATED, 0.0 s after it was created"),
        ("INFO", "Execution e-1: EXECUTING, 3.2 s after it was created"),
    ]


def test_a_missing_creation_time_is_not_invented(logged: Logged) -> None:
    """Without a creation time there is no age: neither an earlier event nor this machine's clock replaces it."""
    narrator = Narrator("Execution e-1")
    narrator.tell_progress(event("CREATED", timestamp=CREATED_AT))
    narrator.tell_progress(record("EXECUTING", updatedAt=UPDATED_AT))
    narrator.tell_progress(event("COMPLETED", timestamp=UPDATED_AT))
    assert [message for _, message in logged()] == [
        "Execution e-1: CREATED",
        "Execution e-1: EXECUTING",
        "Execution e-1: COMPLETED",
    ]


def test_failures_are_logged_once(logged: Logged) -> None:
    """The same failure is logged once as a warning, until `forget_troubles`; another failure is logged too."""
    narrator = Narrator("Execution e-1")
    reset, silent = WhiteRabbitTransportError("connection reset"), WhiteRabbitStreamError("the stream was silent")
    expected: list[Any] = [
        ("WARNING", "Execution e-1: connection reset; the wait continues"),
        ("WARNING", "Execution e-1: the stream was silent; the wait continues"),
    ]
    for error in (reset, silent, reset, WhiteRabbitTransportError("connection reset")):
        narrator.tell_trouble(error)
    assert logged() == expected
    narrator.forget_troubles()
    narrator.tell_trouble(reset)
    assert logged() == [*expected, expected[0]]


def test_polling_is_logged(logged: Logged) -> None:
    """A refused stream is logged as a warning with the reason and the poll interval."""
    Narrator("Execution e-1").tell_polling(WhiteRabbitStreamError("White Rabbit answered 403"), 10.0)
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
    Narrator("Execution e-1").tell_progress(record("COMPLETED", createdAt=created_at, updatedAt=updated_at))
    assert [message.partition(",")[0] for _, message in logged()][-1] == "Execution e-1: COMPLETED"
