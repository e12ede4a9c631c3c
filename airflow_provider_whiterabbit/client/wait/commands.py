"""What `follow` and the transports say to each other: what is followed, and the commands that a follower yields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError, WhiteRabbitStreamError


class Snapshot(Protocol):
    """What is known of an execution or a run at one moment: its record, or an event of its stream."""

    @property
    def id(self) -> str:
        """The id of what it belongs to."""

    @property
    def status(self) -> Any:
        """A member of a status enum with `is_terminal`."""

    @property
    def progress(self) -> str:
        """How far it got, in words; a text that was not seen before is logged."""


R = TypeVar("R", bound=Snapshot)
"""A record."""

S = TypeVar("S", bound=Snapshot)
"""A record, or a part of it."""


@dataclass(frozen=True, slots=True)
class Followed(Generic[R]):
    """What is being followed.

    :param what: how to name it to people, as ``Execution 1b4e…``.
    :param record: reads its record; `parse_record` makes the model of the answer's JSON.
    :param stream: opens its stream; `parse_event` makes the model of an event's JSON.
    :param parse_glance: makes something of the record's `id` and `status` alone, should the rest be too large to read.

    Read them by `record_of`, `glance_of` and `event_of`, which let nobody else's pass.
    """

    id: str
    what: str
    record: Request
    stream: Request
    parse_record: Callable[[Any], R]
    parse_event: Callable[[Any], Snapshot]
    parse_glance: Callable[[Any], Snapshot]

    def record_of(self, data: Any) -> R:
        """Make the model of a record of the JSON of an answer.

        :raises WhiteRabbitProtocolError: if it is not as documented, or that of another one.
        """
        return self._own(self.parse_record(data))

    def glance_of(self, data: Any) -> Snapshot:
        """Make what is needed to go on waiting of the first members of a record.

        :raises WhiteRabbitProtocolError: if they are not as documented, or those of another one.
        """
        return self._own(self.parse_glance(data))

    def event_of(self, data: Any) -> Snapshot:
        """Make the model of an event of its JSON.

        :raises WhiteRabbitStreamError: if it is not as documented, or that of another one.
        """
        try:
            return self._own(self.parse_event(data))
        except WhiteRabbitProtocolError as error:
            raise WhiteRabbitStreamError(str(error)) from None

    def _own(self, snapshot: S) -> S:
        if snapshot.id != self.id:
            raise WhiteRabbitProtocolError(f"{self.what}: what came belongs to another one, {snapshot.id!r:.100}")
        return snapshot


@dataclass(frozen=True, slots=True)
class Open:
    """Open a stream within so many seconds. Answer: None."""

    request: Request
    within: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read from the open stream. Answer: the data of events, perhaps of none; None at its end.

    :param silence: seconds without a byte after which it is dead: `WhiteRabbitStreamError`.
    :param within: seconds after which the answer is none, and the stream of no more use.
    :param quiet: seconds for which keep-alives are no answer; the first one after that is, with no events.
    """

    silence: float
    within: float
    quiet: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close the stream. Answer: None."""


@dataclass(frozen=True, slots=True)
class Get:
    """Send a request once, and take so many seconds at the most. Answer: its JSON.

    :param wanted: the only members that are needed of a large answer; none: all.
    """

    request: Request
    within: float
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait so many seconds. Answer: None."""

    seconds: float


Command = Open | Read | Close | Get | Sleep
