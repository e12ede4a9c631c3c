"""The log of the follower: each status once, and each failure once."""

from __future__ import annotations

import logging
import math
import re

import pytest

from airflow_provider_whiterabbit.client.records.status import ExecutionStatus
from airflow_provider_whiterabbit.client.wait.commands import Get, Read
from airflow_provider_whiterabbit.client.wait.timing import Timing
from tests.client.wait.simulation import EPOCH, ID, SimulatedServer, run_follow, run_follow_until

NARRATOR_LOG = "airflow_provider_whiterabbit.client.wait.narrator"


def log_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the narrator has logged."""
    return [record.getMessage() for record in caplog.records if record.name == NARRATOR_LOG]


def test_each_status_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each status is logged once, with the age of the execution, however often record and stream repeat it."""
    caplog.set_level(logging.INFO, NARRATOR_LOG)
    server = SimulatedServer(streams=["closes", "sends changes twice"], executing=20, ends=120)
    run_follow(server, whole_record=True)
    assert [message for message in log_messages(caplog) if "after it was created" in message] == [
        f"Execution {ID}: CREATED, 0.0 s after it was created",
        f"Execution {ID}: EXECUTING, 20.0 s after it was created",
        f"Execution {ID}: COMPLETED, 120.0 s after it was created",
    ]
    assert all(message.startswith(f"Execution {ID}: ") for message in log_messages(caplog))


@pytest.mark.parametrize("begins", [0, 3600], ids=["from the start", "after a restart"])
@pytest.mark.parametrize("stream", ["only pings", "closes after an hour", "stream 403"])
def test_a_long_wait_is_not_silent(stream: str, begins: int, caplog: pytest.LogCaptureFixture) -> None:
    """A long wait logs every five minutes that it goes on, with the time since the execution was created."""
    caplog.set_level(logging.INFO, NARRATOR_LOG)
    server = SimulatedServer(later_streams=stream, executing=0, ends=math.inf, now=EPOCH + begins)
    run_follow_until(server, EPOCH + begins + 1800, whole_record=True)
    lines = [message for message in log_messages(caplog) if "still" in message]
    assert len(lines) == 5
    sign_of_life = "its record was just read" if stream == "stream 403" else "the stream is alive"
    for line, minutes in zip(lines, (5, 10, 15, 20, 25), strict=True):
        age = re.fullmatch(rf"Execution {ID}: still EXECUTING, (1 h )?(\d+) min after it was created; .*", line)
        assert age is not None, line
        assert bool(age[1]) is bool(begins)
        assert minutes <= int(age[2]) <= minutes + 2
    assert sign_of_life in lines[0]
    assert len(server.times_of(Read)) < 30  # the lines are written when a keep-alive arrives, without a timer


def test_an_outage_shows_no_sign_of_life(caplog: pytest.LogCaptureFixture) -> None:
    """While nothing arrives, no line says that the stream is alive or that the record was read."""
    caplog.set_level(logging.INFO, NARRATOR_LOG)
    server = SimulatedServer(later_streams="unreachable", records=["unreachable"] * 10_000, ends=math.inf)
    run_follow_until(server, EPOCH + 3600, whole_record=True)
    assert not [message for message in log_messages(caplog) if "alive" in message or "just read" in message]


@pytest.mark.parametrize(
    ("stream", "record"),
    [
        ("unreachable", "unreachable"),
        ("unavailable", "unavailable"),
        ("closes", "unavailable"),
        ("malformed event", "ok"),
        ("limited", "unreachable"),
    ],
)
def test_an_outage_is_logged_once(stream: str, record: str, caplog: pytest.LogCaptureFixture) -> None:
    """The same failures for hours log a few warnings per interval, not one for each attempt."""
    server = SimulatedServer(later_streams=stream, records=[record] * 10_000, executing=math.inf, ends=math.inf)
    run_follow_until(server, EPOCH + 2 * 3600)
    assert len(server.times_of(Get)) > 200
    warnings = [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert 1 <= len(warnings) <= 2 * (2 * 3600 / Timing().trouble_interval + 1)


def test_a_record_that_is_behind_is_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    """A record that is behind the stream does not repeat an earlier status in the log."""
    caplog.set_level(logging.INFO, NARRATOR_LOG)
    run_follow(SimulatedServer(later_streams="sends the status and closes", executing=0, ends=600, lag=400.0))
    texts = [message.split(": ", 1)[1] for message in log_messages(caplog)]
    statuses = [text for text in texts if text in list(ExecutionStatus)]
    assert statuses[-1] == "COMPLETED"
    assert len(statuses) == len(set(statuses))
