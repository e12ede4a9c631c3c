"""One execution or workflow run that is followed: how it is read, and how its records and events are parsed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent
from airflow_provider_whiterabbit.client.records.glance import Glance
from airflow_provider_whiterabbit.client.records.status import ExecutionStatus, WorkflowRunStatus
from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun, WorkflowRunEvent
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError, WhiteRabbitStreamError


class Snapshot(Protocol):
    """What is known of an execution or a run at one moment: its record, a part of it, or an event of its stream."""

    @property
    def id(self) -> str:
        """The id of the execution or run."""

    @property
    def status(self) -> Any:
        """A member of `ExecutionStatus` or `WorkflowRunStatus`."""

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended, well or not."""

    @property
    def succeeded(self) -> bool:
        """Whether it is COMPLETED."""

    @property
    def progress(self) -> str:
        """How far it has got, for the log."""

    @property
    def updated_at(self) -> Any:
        """When it reached this status, by White Rabbit's clock; None where unknown."""


R = TypeVar("R", bound=Snapshot)
"""A record: `Execution` or `WorkflowRun`."""

S = TypeVar("S", bound=Snapshot)


@dataclass(frozen=True, slots=True)
class Followed(Generic[R]):
    """One execution or run that is followed.

    :param id: its id.
    :param name: what messages call it, as ``Execution 1b4e…``.
    :param record_request: reads its record; `parse_record` parses the JSON of the answer.
    :param stream_request: opens its stream; `parse_event` parses the JSON of an event.
    :param parse_glance: parses a record of which perhaps only `id` and `status` were read.

    The methods `record_of`, `glance_of` and `event_of` parse, and refuse what has another id.
    """

    id: str
    name: str
    record_request: Request
    stream_request: Request
    parse_record: Callable[[Any], R]
    parse_event: Callable[[Any], Snapshot]
    parse_glance: Callable[[Any], Snapshot]

    def record_of(self, data: Any) -> R:
        """Parse the JSON of a record.

        :raises WhiteRabbitProtocolError: if it is not as documented, or has another id.
        """
        return self._with_same_id(self.parse_record(data))

    def glance_of(self, data: Any) -> Snapshot:
        """Parse the JSON of a record of which perhaps only the first members were read.

        :raises WhiteRabbitProtocolError: if it is not as documented, or has another id.
        """
        return self._with_same_id(self.parse_glance(data))

    def event_of(self, data: Any) -> Snapshot:
        """Parse the JSON of a stream event.

        :raises WhiteRabbitStreamError: if it is not as documented, or has another id.
        """
        try:
            return self._with_same_id(self.parse_event(data))
        except WhiteRabbitProtocolError as error:
            raise WhiteRabbitStreamError(str(error)) from None

    def _with_same_id(self, snapshot: S) -> S:
        if snapshot.id != self.id:
            raise WhiteRabbitProtocolError(f"{self.name}: the answer belongs to another id, {snapshot.id!r:.100}")
        return snapshot


def followed_execution(execution_id: str) -> Followed[Execution]:
    """Return how an execution is followed.

    :raises WhiteRabbitInputError: if the id is not safe in a path.
    """
    return Followed(
        id=execution_id,
        name=f"Execution {execution_id}",
        record_request=api.get_execution(execution_id),
        stream_request=api.stream_execution(execution_id),
        parse_record=Execution.from_dict,
        parse_event=ExecutionEvent.from_dict,
        parse_glance=lambda data: Glance.from_dict(data, ExecutionStatus),
    )


def followed_workflow_run(workflow_run_id: str) -> Followed[WorkflowRun]:
    """Return how a workflow run is followed.

    :raises WhiteRabbitInputError: if the id is not safe in a path.
    """
    stage_count: int | None = None  # only the record tells it; the events' progress needs it

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
        name=f"Workflow run {workflow_run_id}",
        record_request=api.get_workflow_run(workflow_run_id),
        stream_request=api.stream_workflow_run(workflow_run_id),
        parse_record=parse_record,
        parse_event=lambda data: WorkflowRunEvent.from_dict(data, stage_count),
        parse_glance=parse_glance,
    )
