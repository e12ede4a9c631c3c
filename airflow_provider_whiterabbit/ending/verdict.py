"""How an end at White Rabbit becomes the end of a task. Sensors and operators share it, however they waited."""

from __future__ import annotations

from typing import Any, Protocol

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_whiterabbit.client.wait.target import Target
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitProtocolError, WhiteRabbitTimeoutError

TIMEOUT = "TIMEOUT"
"""Status of a trigger event: the deadline passed before the end."""

ERROR = "ERROR"
"""Status of a trigger event: the wait could not continue. The event's message says why."""

USAGE_KEY = "usage"
"""Key of the XCom with the credits that were spent."""


class EndedRecord(Protocol):
    """A record of an execution or run that has ended."""

    @property
    def succeeded(self) -> bool:
        """Whether it is COMPLETED."""

    @property
    def result(self) -> Any:
        """What the task returns."""

    @property
    def total_usage(self) -> float | None:
        """Credits spent, if the record tells."""

    @property
    def failure(self) -> str:
        """A message that says why it did not complete."""


def result_of(record: EndedRecord) -> Any:
    """Return the result of an execution or run that has ended.

    :raises AirflowFailException: if it did not complete: a retry of the task would read the same record.
    """
    if not record.succeeded:
        raise AirflowFailException(record.failure)
    return record.result


def ended_id(event: Any, target: Target[Any], expected_id: str | None) -> str:
    """Check the event of a trigger, and return the id of the execution or run that has ended, well or not.

    :param event: ``{"execution_id": …, "status": …, "message": …}``, or the same with ``workflow_run_id``.
    :param target: what the trigger waited for.
    :param expected_id: the id that was waited for; None if only the event knows it.
    :raises WhiteRabbitTimeoutError: if the deadline passed first.
    :raises WhiteRabbitError: if the wait could not continue.
    :raises WhiteRabbitProtocolError: if the event is none that this provider knows.
    """
    from airflow_provider_whiterabbit.client.records.status import TERMINAL  # a DAG file does not need it

    event_id = event.get(target.id_name) if isinstance(event, dict) else None
    if isinstance(event_id, str) and expected_id in (None, event_id):
        status = str(event.get("status"))
        if status in TERMINAL:
            return event_id
        if status == TIMEOUT:
            raise WhiteRabbitTimeoutError(str(event.get("message")))
        if status == ERROR:
            raise WhiteRabbitError(str(event.get("message")))
    raise WhiteRabbitProtocolError(f"The trigger sent an event that this provider does not know: {event!r:.200}")
