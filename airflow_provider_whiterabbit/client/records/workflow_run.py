"""Dataclasses for workflow runs: records, stages and stream events (API reference, *Workflow Executions*)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import pendulum

from airflow_provider_whiterabbit.client.records.fields import (
    MAX_MODULE,
    error_text,
    lenient,
    number,
    of_type,
    stage_status,
    strict_id,
    strict_list,
    strict_object,
    strict_status,
    time,
    warn_of,
)
from airflow_provider_whiterabbit.client.records.status import (
    TERMINAL,
    HasStatus,
    StageStatus,
    WorkflowRunStatus,
    status_text,
)
from airflow_provider_whiterabbit.client.text import clean

_MAX_STAGES = 5
"""How many failed stages a message names at most."""

_MAX_REASON = 300
"""How many characters of the reason of a cancellation a message shows at most."""

_MAX_ERRORS = 1_200
"""How many characters a message shows at most of that reason and of the errors of all stages that the message names."""


@dataclass(frozen=True, slots=True)
class RunStage(HasStatus):
    """One stage of a workflow run. `credit_usage` is the number of credits that the stage spent."""

    id: str
    status: StageStatus | str
    output: Any
    error: Any
    module: str | None = None
    credit_usage: float | None = None
    execution_event_id: str | None = None
    execution_dispatched_at: pendulum.DateTime | None = None
    execution_attempt: int | None = None
    updated_at: pendulum.DateTime | None = None

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Parse one stage: an element of ``runStages`` in the record of a workflow run.

        :raises WhiteRabbitProtocolError: if `id` or `status` are not as documented.
        """
        stage = strict_object(data, "stage")
        return cls(
            id=strict_id(stage, "stage"),
            status=stage_status(stage, StageStatus, "stage"),
            output=stage.get("output"),
            error=stage.get("error"),
            module=lenient(stage, "module", of_type(str)),
            credit_usage=lenient(stage, "creditUsage", number),
            execution_event_id=lenient(stage, "executionEventId", of_type(str)),
            execution_dispatched_at=lenient(stage, "executionDispatchedAt", time),
            execution_attempt=lenient(stage, "executionAttempt", of_type(int)),
            updated_at=lenient(stage, "updatedAt", time),
        )


@dataclass(frozen=True, slots=True)
class WorkflowRun(HasStatus):
    """The record of a workflow run. `total_usage` is the number of credits that the workflow run spent."""

    id: str
    status: WorkflowRunStatus | str
    stages: tuple[RunStage, ...]
    pending_stage_count: int | None = None
    failed_stage_count: int | None = None
    cancel_requested_at: pendulum.DateTime | None = None
    cancel_reason: str | None = None
    total_usage: float | None = None
    created_at: pendulum.DateTime | None = None
    updated_at: pendulum.DateTime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def completed(self) -> bool:
        """Whether the workflow run has ended, successfully or not."""
        return self.is_terminal

    @property
    def lags(self) -> bool:
        """Whether the record has ended by its field ``completed``, but not by its status."""
        return self.raw.get("completed") is True and not self.is_terminal

    @property
    def progress(self) -> str:
        """The workflow run's status and the number of stages that have ended, as text for the log."""
        done = sum(stage.is_terminal for stage in self.stages)
        return progress_text(self.status, done, len(self.stages), self.total_usage)

    @property
    def result(self) -> dict[str, Any]:
        """The workflow run's record, with the stages and their outputs, which an Airflow task returns as its result."""
        return self.to_dict()

    @property
    def failure(self) -> str:
        """An error message that names the failed stages of a workflow run, or the reason of its cancellation."""
        parts = []
        if self.status == WorkflowRunStatus.CANCELED:
            parts.append(clean(self.cancel_reason or "no reason given", _MAX_REASON))
        failed = [(position, stage) for position, stage in enumerate(self.stages, 1) if stage.failed]
        limit = (_MAX_ERRORS - len("".join(parts))) // min(max(len(failed), 1), _MAX_STAGES)
        for position, stage in failed[:_MAX_STAGES]:
            module = clean(stage.module or stage.id, MAX_MODULE)
            parts.append(f"stage {position} ({module}) {stage.status}: {error_text(stage.error, limit)}")
        if len(failed) > _MAX_STAGES:
            parts.append(f"and {len(failed) - _MAX_STAGES:,} more")
        return clean(f"Workflow run {self.id} {self.status}: {'; '.join(parts) or 'no stage has an error'}")

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Parse the record of a workflow run.

        :raises WhiteRabbitProtocolError: if `id`, `status` or a stage is not as documented.
        """
        record = strict_object(data, "run record")
        run = cls(
            id=strict_id(record, "run record"),
            status=strict_status(record, WorkflowRunStatus, "run record"),
            stages=tuple(RunStage.from_dict(stage) for stage in strict_list(record, "runStages", "run record")),
            pending_stage_count=lenient(record, "pendingStageCount", of_type(int)),
            failed_stage_count=lenient(record, "failedStageCount", of_type(int)),
            cancel_requested_at=lenient(record, "cancelRequestedAt", time),
            cancel_reason=lenient(record, "cancelReason", of_type(str)),
            total_usage=lenient(record, "totalUsage", number),
            created_at=lenient(record, "createdAt", time),
            updated_at=lenient(record, "updatedAt", time),
            raw=record,
        )
        failed = sum(stage.failed for stage in run.stages)
        if run.succeeded and failed:
            warn_of(record, f"the status is {run.status} although {failed} of its {len(run.stages)} stages FAILED")
        _warn_of_cancellation(record, run.status, run.cancel_requested_at)
        return run

    def to_dict(self) -> dict[str, Any]:
        """Return the workflow run's record as the API sent it: a JSON object, suitable for XCom."""
        return dict(self.raw)


@dataclass(frozen=True, slots=True)
class WorkflowRunEvent(HasStatus):
    """One event of a workflow run's event stream. The outputs of the stages are only in the workflow run's record.

    :param open_count: how many stages have not ended.
    :param stage_count: how many stages the run has. Only the record tells; None before it was read.
    """

    id: str
    status: WorkflowRunStatus | str
    open_count: int | None = None
    total_usage: float | None = None
    timestamp: pendulum.DateTime | None = None
    stage_count: int | None = None

    @property
    def progress(self) -> str:
        """The workflow run's status and the number of stages that have ended, as text for the log."""
        if self.open_count is None:
            return status_text(self.status)
        done = None if self.stage_count is None else max(0, self.stage_count - self.open_count)
        return progress_text(self.status, done, self.stage_count, self.total_usage)

    @property
    def updated_at(self) -> pendulum.DateTime | None:
        """When the workflow run reached the event's status: the `timestamp`, under the name that records use."""
        return self.timestamp

    @classmethod
    def from_dict(cls, data: Any, stage_count: int | None = None) -> Self:
        """Parse the JSON data of an event from a workflow run's event stream.

        :raises WhiteRabbitProtocolError: if `id` or `status` are not as documented.
        """
        event = strict_object(data, "stream event")
        output = lenient(event, "output", of_type(dict)) or {}
        stages = lenient(output, "nonTerminalStages", of_type(list))
        status = strict_status(event, WorkflowRunStatus, "stream event", is_part=True)
        _warn_of_cancellation(event, status, lenient(output, "cancelRequestedAt", time))
        return cls(
            id=strict_id(event, "stream event"),
            status=status,
            open_count=None if stages is None else len(stages),
            total_usage=lenient(output, "totalUsage", number),
            timestamp=lenient(event, "timestamp", time),
            stage_count=stage_count,
        )


def progress_text(status: str, done: int | None, count: int | None, credits_: float | None) -> str:
    """Return the progress of a workflow run, as text for the log: ``EXECUTING, 2 of 5 stages done, 1.5 credits``."""
    parts = [status_text(status)]
    if done is not None and count is not None:
        parts.append(f"{done} of {count} stages done")
    if credits_ is not None:
        parts.append(f"{credits_:.12g} credits")
    return ", ".join(parts)


def _warn_of_cancellation(data: Mapping[str, Any], status: str, requested_at: pendulum.DateTime | None) -> None:
    if requested_at is not None and status not in TERMINAL:
        warn_of(data, f"its cancellation was requested at {requested_at.isoformat()}")
