"""How an execution or workflow run is followed: the requests that read it, and the parsers of its record and events."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.known_secrets import quoted
from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent
from airflow_provider_whiterabbit.client.records.glance import Glance
from airflow_provider_whiterabbit.client.records.status import TERMINAL, ExecutionStatus, Status, WorkflowRunStatus
from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun, WorkflowRunEvent
from airflow_provider_whiterabbit.client.wire import sse
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitProtocolError,
    WhiteRabbitStreamError,
    WhiteRabbitTransportError,
)


class Snapshot(Protocol):
    """What is known of an execution or workflow run at one moment: its record, a part of it, or a stream event."""

    @property
    def id(self) -> str:
        """The id of the execution or workflow run."""

    @property
    def status(self) -> Any:
        """The status: a member of `ExecutionStatus` or `WorkflowRunStatus`, or a `str` if it is unknown."""

    @property
    def is_terminal(self) -> bool:
        """Whether the execution or workflow run has ended, successfully or not."""

    @property
    def succeeded(self) -> bool:
        """Whether the status of the execution or workflow run is COMPLETED."""

    @property
    def lags(self) -> bool:
        """Whether the record contradicts itself: it has ended by its field ``completed``, but not by its status."""

    @property
    def progress(self) -> str:
        """The progress of the execution or workflow run, as text for the log."""

    @property
    def updated_at(self) -> Any:
        """When the execution or workflow run reached its status, by White Rabbit's clock; None if unknown."""


R = TypeVar("R", bound=Snapshot)
"""Type of a record from White Rabbit: `Execution` or `WorkflowRun`."""

S = TypeVar("S", bound=Snapshot)

_TERMINAL = [status.encode() for status in TERMINAL]


@dataclass(frozen=True, slots=True)
class Followed(Generic[R]):
    """An execution or workflow run that is followed until its end: its id, its requests and its parsers.

    :param id: its id.
    :param name: what messages call it, as ``Execution 1b4e…``.
    :param record_request: reads its record; `parse_record` parses the JSON of the answer.
    :param stream_request: opens its stream; `parse_event` parses the JSON of an event.
    :param parse_glance: parses a record of which perhaps only the members `glance_members` were read.
    :param glance_members: the members of the record that tell whether it has ended.
    :param statuses: the known statuses.

    The methods `record_of`, `glance_of`, `event_of` and `peek_of` parse, and refuse what has another id.
    """

    id: str
    name: str
    record_request: Request
    stream_request: Request
    parse_record: Callable[[Any], R]
    parse_event: Callable[[Any], Snapshot]
    parse_glance: Callable[[Any], Snapshot]
    glance_members: tuple[str, ...]
    statuses: type[Status]

    def record_of(self, data: Any) -> R:
        """Parse the JSON of the record of an execution or workflow run, and check the record's id.

        :raises WhiteRabbitProtocolError: if it is not as documented, or has another id.
        :raises WhiteRabbitTransportError: if it is no record at all.
        """
        return self._with_same_id(self.parse_record(self._of_the_api(data)))

    def glance_of(self, data: Any) -> Snapshot:
        """Parse a record of which perhaps only the first JSON members were read, and check the record's id.

        :raises WhiteRabbitProtocolError: if it is not as documented, or has another id.
        :raises WhiteRabbitTransportError: if it is no record at all.
        """
        return self._with_same_id(self.parse_glance(self._of_the_api(data)))

    def event_of(self, event: bytes) -> Snapshot:
        """Parse an event from an event stream, and check the event's id.

        :raises WhiteRabbitStreamError: if it is not as documented, or has another id.
        """
        try:
            return self._with_same_id(self.parse_event(sse.event_data(event)))
        except WhiteRabbitProtocolError as error:
            raise WhiteRabbitStreamError(str(error)) from None

    def end_among(self, events: Iterable[bytes]) -> bytes | None:
        """Return the first event that has a terminal status and the right id; None if there is none."""
        for event in events:
            if any(status in event for status in _TERMINAL):  # most events have none, and need not be parsed
                with contextlib.suppress(WhiteRabbitStreamError):
                    snapshot = self.peek_of(event)
                    if snapshot is not None and snapshot.is_terminal:
                        return event
        return None

    def peek_of(self, event: bytes) -> Snapshot | None:
        """Parse only the id and the status of an event; None if they are not its first members.

        :raises WhiteRabbitStreamError: if they are not as documented, or the event has another id.
        """
        members = sse.peek_data(event, ("id", "status"))
        if members is None:
            return None
        try:
            return self._with_same_id(Glance.from_dict(members, self.statuses, is_part=True))
        except WhiteRabbitProtocolError as error:
            raise WhiteRabbitStreamError(str(error)) from None

    def _of_the_api(self, data: Any) -> Any:
        """Return the JSON of a successful response, if it is an object with an id, as every record of the API is.

        Gateways, firewalls and health checks answer with JSON and status 200, too. They know nothing of an execution.
        """
        if not isinstance(data, dict) or "id" not in data:
            raise WhiteRabbitTransportError(f"{self.name}: the answer is JSON without an id; perhaps a proxy sent it")
        return data

    def _with_same_id(self, snapshot: S) -> S:
        if snapshot.id != self.id:
            raise WhiteRabbitProtocolError(f"{self.name}: the answer belongs to another id, {quoted(snapshot.id, 100)}")
        return snapshot


# The same functions for each of many waits.
_parse_execution = Execution.from_dict
_parse_execution_event = ExecutionEvent.from_dict


def _parse_execution_glance(data: Any) -> Snapshot:
    return Glance.from_dict(data, ExecutionStatus)


def followed_execution(execution_id: str) -> Followed[Execution]:
    """Return the requests and the parsers for following an execution until its end.

    :raises WhiteRabbitInputError: if the id is not safe in a path.
    """
    return Followed(
        id=execution_id,
        name=f"Execution {execution_id}",
        record_request=api.get_execution(execution_id),
        stream_request=api.stream_execution(execution_id),
        parse_record=_parse_execution,
        parse_event=_parse_execution_event,
        parse_glance=_parse_execution_glance,
        glance_members=("id", "status", "completed"),
        statuses=ExecutionStatus,
    )


def followed_workflow_run(workflow_run_id: str) -> Followed[WorkflowRun]:
    """Return the requests and the parsers for following a workflow run until its end.

    :raises WhiteRabbitInputError: if the id is not safe in a path.
    """
    stage_count: int | None = None  # only the record tells it; the events' progress needs it

    def parse_record(data: Any) -> WorkflowRun:
        nonlocal stage_count
        run = WorkflowRun.from_dict(data)
        stage_count = len(run.stages)
        return run

    def parse_glance(data: Any) -> Snapshot:
        if isinstance(data, dict) and "runStages" in data:
            return parse_record(data)
        return Glance.from_dict(data, WorkflowRunStatus, is_part=True)

    return Followed(
        id=workflow_run_id,
        name=f"Workflow run {workflow_run_id}",
        record_request=api.get_workflow_run(workflow_run_id),
        stream_request=api.stream_workflow_run(workflow_run_id),
        parse_record=parse_record,
        parse_event=lambda data: WorkflowRunEvent.from_dict(data, stage_count),
        parse_glance=parse_glance,
        glance_members=("id", "status"),  # a run has no documented member `completed`
        statuses=WorkflowRunStatus,
    )
