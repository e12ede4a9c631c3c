"""The statuses of executions, of workflow runs and of the stages of workflow runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from airflow_provider_whiterabbit.client.known_secrets import quoted

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


def status_text(status: Any) -> str:
    """Return a status as text for a message; an unknown one in quotes and cut."""
    return str(status) if isinstance(status, Status) else quoted(status, 80)


class HasStatus:
    """Base class of records, stages and stream events, with properties that tell what the status means.

    An unknown status is a `str`. It means neither that something has ended nor that it succeeded or failed.
    """

    __slots__ = ()

    status: Any

    @property
    def is_terminal(self) -> bool:
        """Whether the execution, workflow run or stage has ended, successfully or not."""
        return isinstance(self.status, Status) and self.status.is_terminal

    @property
    def succeeded(self) -> bool:
        """Whether the status is COMPLETED."""
        return bool(self.status == "COMPLETED")

    @property
    def failed(self) -> bool:
        """Whether the status is FAILED; a workflow run with the status CANCELED does not count as failed."""
        return bool(self.status == "FAILED")

    @property
    def lags(self) -> bool:
        """Whether the record contradicts itself: it has ended by its field ``completed``, but not by its status."""
        return False
