"""The log of the follower: each status once, and each failure once."""

from __future__ import annotations

import logging
import math

import pytest

from airflow_provider_whiterabbit.client.records.status import ExecutionStatus
from airflow_provider_whiterabbit.client.wait.commands import Get
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
