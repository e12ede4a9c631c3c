"""One execution or workflow run that is followed: how it is read, and how its records and events are parsed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

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
