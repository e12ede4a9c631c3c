"""The statuses of executions, of workflow runs and of their stages."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELED"})
"""The statuses that never change again."""


class Status(StrEnum):
    """A status of the API. Its subclasses have the members."""

    @property
    def is_terminal(self) -> bool:
        """Whether the status never changes again."""
        return self in TERMINAL

    @property
    def succeeded(self) -> bool:
        """Whether it is COMPLETED."""
        return self == "COMPLETED"

    @property
    def failed(self) -> bool:
        """Whether it is FAILED."""
        return self == "FAILED"


class ExecutionStatus(Status):
    """The status of an execution. CREATED means queued."""

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
    """What a record, an event and a glance say about their status."""

    __slots__ = ()

    status: Any

    @property
    def is_terminal(self) -> bool:
        """Whether the execution or run has ended, well or not."""
        return bool(self.status.is_terminal)

    @property
    def succeeded(self) -> bool:
        """Whether it is COMPLETED."""
        return bool(self.status.succeeded)

    @property
    def failed(self) -> bool:
        """Whether it is FAILED. A run that is CANCELED is not."""
        return bool(self.status.failed)
