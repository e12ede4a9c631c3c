"""Fixtures of the receiver, whose metrics are tested here, and a StatsD server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from airflow_provider_whiterabbit.observing.background import in_background
from dev.harness.polling import until
from dev.harness.statsd import StatsdServer
from tests.observing.reporting import SERVERS, TASKS, reporting
from tests.receiver.conftest import connections, database, receiver, start_receiver

__all__ = ["connections", "database", "receiver", "start_receiver"]


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdServer]:
    """Run a StatsD server to which Airflow's servers and tasks report."""
    until(lambda: not in_background.unsent, "the triggers of other tests to have reported", 30, 0.02)
    with StatsdServer() as server, ExitStack() as stack:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        for place in (SERVERS, TASKS):
            stack.enter_context(reporting(place))
        yield server
