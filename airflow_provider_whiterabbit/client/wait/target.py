"""What can be followed: an execution, a workflow run. Everything else about waiting is the same for both."""

from __future__ import annotations

from typing import Any

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent, ExecutionStatus, Glance
from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun, WorkflowRunEvent, WorkflowRunStatus
from airflow_provider_whiterabbit.client.wait.commands import Followed, Snapshot


def followed_execution(execution_id: str) -> Followed[Execution]:
    """Describe how an execution is followed.

    :raises WhiteRabbitInputError: if the id could leave its place in the path.
    """
    return Followed(
        id=execution_id,
        what=f"Execution {execution_id}",
        record=api.get_execution(execution_id),
        stream=api.stream_execution(execution_id),
        parse_record=Execution.from_dict,
        parse_event=ExecutionEvent.from_dict,
        parse_glance=lambda data: Glance.from_dict(data, ExecutionStatus),
    )


def followed_run(workflow_run_id: str) -> Followed[WorkflowRun]:
    """Describe how a workflow run is followed.

    :raises WhiteRabbitInputError: if the id could leave its place in the path.
    """
    stage_count: int | None = None  # told by the record, and needed to say how far an event's run got

    def parse_record(data: Any) -> WorkflowRun:
        nonlocal stage_count
        run = WorkflowRun.from_dict(data)
        stage_count = len(run.stages)
        return run

    def parse_glance(data: Any) -> Snapshot:
        glance = Glance.from_dict(data, WorkflowRunStatus)
        return parse_record(data) if "runStages" in data else glance

    return Followed(
        id=workflow_run_id,
        what=f"Workflow run {workflow_run_id}",
        record=api.get_workflow_run(workflow_run_id),
        stream=api.stream_workflow_run(workflow_run_id),
        parse_record=parse_record,
        parse_event=lambda data: WorkflowRunEvent.from_dict(data, stage_count),
        parse_glance=parse_glance,
    )
