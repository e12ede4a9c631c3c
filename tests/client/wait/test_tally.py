"""The count of many ends, and its lines in the log."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.wait.tally import Tally
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import WhiteRabbitTransportError


def end(*, succeeded: bool = True, usage: float | None = None) -> Any:
    """Return the end of an execution."""
    return SimpleNamespace(succeeded=succeeded, total_usage=usage)


def test_text() -> None:
    """The text has the ends, the failures, and the credits as soon as some are known."""
    tally = Tally(1000, Timing())
    assert str(tally) == "0 of 1,000 ended, 0 failed"
    for number in range(412):
        tally.count(end(succeeded=number >= 3, usage=None if number % 2 else 0.1))
    assert str(tally) == "412 of 1,000 ended, 3 failed, 20.6 credits"


def test_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A line is logged if more have ended, or if there was none for five minutes."""
    caplog.set_level(logging.INFO)
    now = 0.0
    tally = Tally(2, Timing(alive_interval=300), lambda: now)
    tally.tell()
    tally.tell()
    now = 299
    tally.tell()
    now = 301
    tally.tell()
    tally.count(end())
    tally.tell()
    assert caplog.messages == [
        "Executions: 0 of 2 ended, 0 failed",
        "Executions: still 0 of 2 ended, 0 failed",
        "Executions: 1 of 2 ended, 0 failed",
    ]


def test_troubles_of_many(caplog: pytest.LogCaptureFixture) -> None:
    """A trouble that many waits have is logged once, and again with the number of those that were not logged."""
    now = 0.0
    tally = Tally(100, Timing(trouble_interval=900), lambda: now)
    narrators = [tally.narrator(f"Execution e-{number}") for number in range(100)]
    for narrator in narrators:
        narrator.tell_trouble(WhiteRabbitTransportError("down"))
    now = 1000
    narrators[7].tell_trouble(WhiteRabbitTransportError("down"))
    assert caplog.messages == [
        "Execution e-0: down; the wait continues",
        "Execution e-7: down; the wait continues (99 more failures of this kind since the last message)",
    ]
