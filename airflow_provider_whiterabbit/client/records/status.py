"""The statuses of executions, of workflow runs and of the stages of workflow runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELED"})
"""The terminal statuses: after one of these statuses, an execution, workflow run or stage never changes its status."""


class Status(StrEnum):
    """Base class of the status enums for executions, workflow runs and stages; the subclasses define the members."""

    @property
    def is_terminal(self) -> bool:
        """Whether the status is terminal, so that the execution, workflow run or stage has ended."""
        return self in TERMINAL

    @property
    def succeeded(self) -> bool:
        """Whether the status is COMPLETED."""
        return self == "COMPLETED"

    @property
    def failed(self) -> bool:
        """Whether the status is FAILED."""
        return self == "FAILED"


class ExecutionStatus(Status):
    """The status of an execution. CREATED means that the execution is queued."""

    CREATED = "CREATED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class WorkflowRunStatus(Status):
    """The status of a workflow run."""

    CREATED = "CREATED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class StageStatus(Status):
    """The status of one stage of a workflow run."""

    CREATED = "CREATED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class HasStatus:
    """Base class of records, stages and stream events, with properties that tell what the status means."""

    __slots__ = ()

    status: Any

    @property
    def is_terminal(self) -> bool:
        """Whether the execution, workflow run or stage has ended, successfully or not."""
        return bool(self.status.is_terminal)

    @property
    def succeeded(self) -> bool:
        """Whether the status is COMPLETED."""
        return bool(self.status.succeeded)

    @property
    def failed(self) -> bool:
        """Whether the status is FAILED; a workflow run with the status CANCELED does not count as failed."""
        return bool(self.status.failed)
