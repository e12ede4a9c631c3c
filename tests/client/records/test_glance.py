"""Glances: records of which only the first members were read."""

from __future__ import annotations

from collections.abc import Callable

import pendulum

from airflow_provider_whiterabbit.client.records.glance import Glance
from airflow_provider_whiterabbit.client.records.status import ExecutionStatus

EXECUTING = {"id": "e-1", "status": "EXECUTING"}


def test_times_of_a_glance(warnings: Callable[[], list[str]]) -> None:
    """A glance has the times of its record if they were read, and None otherwise."""
    times = {"createdAt": "2026-04-20T10:00:00Z", "updatedAt": "2026-04-20T10:00:03Z"}
    created_at = pendulum.datetime(2026, 4, 20, 10)
    with_times = Glance.from_dict({**EXECUTING, **times}, ExecutionStatus)
    assert with_times == Glance("e-1", ExecutionStatus.EXECUTING, created_at, created_at.add(seconds=3))
    assert Glance.from_dict(EXECUTING, ExecutionStatus) == Glance("e-1", ExecutionStatus.EXECUTING, None, None)
    assert warnings() == []


def test_unknown_times_of_a_glance(warnings: Callable[[], list[str]]) -> None:
    """A time of an unknown form becomes None in a glance, with a warning."""
    assert Glance.from_dict({**EXECUTING, "createdAt": "yesterday"}, ExecutionStatus).created_at is None
    assert "createdAt" in warnings()[0]
