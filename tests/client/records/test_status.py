"""Statuses: which ones are terminal, and what records, events and glances say about theirs."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent
from airflow_provider_whiterabbit.client.records.glance import Glance
from airflow_provider_whiterabbit.client.records.status import ExecutionStatus, StageStatus, WorkflowRunStatus
from airflow_provider_whiterabbit.client.records.workflow_run import RunStage, WorkflowRun, WorkflowRunEvent


@pytest.mark.parametrize(
    ("status", "terminal"), [("CREATED", False), ("EXECUTING", False), ("COMPLETED", True), ("FAILED", True)]
)
def test_statuses_of_executions(status: str, terminal: bool) -> None:
    """An execution has four statuses, two of them terminal, whatever the field ``completed`` of a record says."""
    record = Execution.from_dict({"id": "1", "status": status, "output": 1, "error": 2, "completed": not terminal})
    event = ExecutionEvent.from_dict({"id": "1", "status": status, "output": 1, "error": 2})
    assert record.status == event.status == status
    assert record.completed is record.status.is_terminal is event.status.is_terminal is terminal
    assert record.progress == event.progress == status


@pytest.mark.parametrize(("statuses", "running"), [(WorkflowRunStatus, "EXECUTING"), (StageStatus, "RUNNING")])
def test_statuses_of_workflow_runs_and_stages(statuses: Any, running: str) -> None:
    """Three statuses of workflow runs and of their stages are terminal: COMPLETED, FAILED and CANCELED."""
    assert set(statuses) == {"CREATED", running, "COMPLETED", "FAILED", "CANCELED"}
    assert {status for status in statuses if status.is_terminal} == {"COMPLETED", "FAILED", "CANCELED"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("CREATED", (False, False, False)),
        ("EXECUTING", (False, False, False)),
        ("COMPLETED", (True, True, False)),
        ("FAILED", (True, False, True)),
        ("CANCELED", (True, False, False)),
    ],
)
def test_records_events_and_glances_agree(status: str, expected: tuple[bool, bool, bool]) -> None:
    """Records, events, glances and statuses agree on `is_terminal`, `succeeded` and `failed`."""
    data: dict[str, Any] = {"id": "1", "status": status, "output": None, "error": None, "runStages": []}
    statuses = [WorkflowRunStatus] if status == "CANCELED" else [ExecutionStatus, WorkflowRunStatus]
    holders: list[Any] = [WorkflowRun.from_dict(data), WorkflowRunEvent.from_dict(data)]
    holders += [Glance.from_dict(data, kind) for kind in statuses] + [kind(status) for kind in statuses]
    if status != "CANCELED":
        holders += [Execution.from_dict(data), ExecutionEvent.from_dict(data)]
    if status != "EXECUTING":  # a stage has RUNNING instead
        holders.append(RunStage.from_dict(data))
    for holder in holders:
        assert (holder.is_terminal, holder.succeeded, holder.failed) == expected
