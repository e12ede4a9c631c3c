"""How an end at White Rabbit becomes a task's end: one place for sensors and operators, whichever way they waited."""

from __future__ import annotations

from typing import Any, Protocol

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitProtocolError, WhiteRabbitTimeoutError

TIMEOUT = "TIMEOUT"
"""Status of a trigger event: the deadline came first."""

ERROR = "ERROR"
"""Status of a trigger event: the wait could not go on; the event's message says why."""

USAGE_KEY = "usage"
"""XCom with the credits that were spent."""

_ENDED = ("COMPLETED", "FAILED", "CANCELED")


class Record(Protocol):
    """A record that has ended."""

    @property
    def status(self) -> Any:
        """A member of a status enum."""

    @property
    def result(self) -> Any:
        """What the task returns."""

    @property
    def total_usage(self) -> float | None:
        """Credits spent, if the record says so."""

    @property
    def failure(self) -> str:
        """Why it did not end well, in words."""


def result_of(record: Record) -> Any:
    """Return the result of what has ended.

    :raises AirflowFailException: if it did not end well: a retry of the task would not make it better.
    """
    if record.status != "COMPLETED":
        raise AirflowFailException(record.failure)
    return record.result


def check_event(event: Any, id_name: str, identity: str | None) -> str:
    """Check the event that a trigger ended with, and return the id of what has ended, well or not.

    :param id_name: the event's field with the id, as ``execution_id``.
    :param identity: the id that was waited for; None if only the event knows.
    :raises WhiteRabbitTimeoutError: if the deadline came first.
    :raises WhiteRabbitError: if the wait could not go on.
    :raises WhiteRabbitProtocolError: if it is not an event of ours.
    """
    found = event.get(id_name) if isinstance(event, dict) else None
    if isinstance(found, str) and identity in (None, found):
        if event.get("status") in _ENDED:
            return found
        if event.get("status") == TIMEOUT:
            raise WhiteRabbitTimeoutError(str(event.get("message")))
        if event.get("status") == ERROR:
            raise WhiteRabbitError(str(event.get("message")))
    raise WhiteRabbitProtocolError(f"The trigger sent an event that is none of ours: {event!r:.200}")
