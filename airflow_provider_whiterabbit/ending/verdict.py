"""How the end of an execution or workflow run ends the Airflow task that waited, for sensors and operators alike."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from airflow_provider_whiterabbit.client.wait.target import Target
from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitConfigError,
    WhiteRabbitError,
    WhiteRabbitInputError,
    WhiteRabbitOutputError,
    WhiteRabbitProtocolError,
    WhiteRabbitResponseError,
    WhiteRabbitTimeoutError,
)
from airflow_provider_whiterabbit.masking import failure_of

TIMEOUT = "TIMEOUT"
"""Status of a trigger event: the deadline passed before the execution or workflow run ended."""

ERROR = "ERROR"
"""Status of a trigger event: the trigger could not continue to wait; the event's message says why."""

USAGE_KEY = "usage"
"""Key of the XCom with the number of White Rabbit credits that were spent."""


INVALID = (400, 404, 422)
"""HTTP statuses with which White Rabbit refuses what a request asks for."""

UNAUTHORIZED = (401, 403)
"""HTTP statuses with which White Rabbit refuses who asks."""


class EndedRecord(Protocol):
    """The record of an execution or workflow run that has ended."""

    @property
    def succeeded(self) -> bool:
        """Whether the status of the execution or workflow run is COMPLETED."""

    @property
    def result(self) -> Any:
        """The value that the Airflow task returns."""

    @property
    def total_usage(self) -> float | None:
        """The number of credits spent; None if the record does not say."""

    @property
    def failure(self) -> str:
        """An error message that says why the execution or workflow run did not complete."""


def result_of(record: EndedRecord) -> Any:
    """Return the result of an execution or workflow run that has ended.

    :raises AirflowFailException: if it did not complete: a retry of the task would read the same record.
    """
    if not record.succeeded:
        raise AirflowFailException(failure_of(record))
    return record.result


def no_retry_mends(error: BaseException, refusals: Collection[int]) -> bool:
    """Return whether each retry of the task would meet the same error again.

    :param refusals: HTTP statuses that count, if the API itself gave them (a proxy's page may be gone in a minute).
        Empty for a task that has submitted: a retry may find what the task has submitted, also after the connection was
        repaired.
    """
    if isinstance(error, WhiteRabbitResponseError):
        from airflow_provider_whiterabbit.client.wire.answers import CLOCK_WINDOW  # a DAG file does not need it

        # Another worker's clock may be right, and this one's may be set.
        has_wrong_clock = error.status == 401 and abs(error.clock_offset or 0.0) >= CLOCK_WINDOW
        return error.status in refusals and error.is_from_api and not has_wrong_clock
    if isinstance(error, WhiteRabbitInputError | WhiteRabbitOutputError):
        return True
    return isinstance(error, WhiteRabbitConfigError) and bool(refusals)


def name_of_many(ids: Sequence[str]) -> str:
    """Return what stands for many ids in an event and in messages: their number and a digest, as ``1000-9f86d0…``."""
    digest = hashlib.sha256("\n".join(map(str, ids)).encode(errors="replace")).hexdigest()
    return f"{len(ids)}-{digest[:16]}"


def ended_id(event: Any, target: Target[Any], expected_id: str | None) -> str:
    """Check a trigger's event, and return the id of the execution or workflow run that has ended, successfully or not.

    :param event: ``{"execution_id": …, "status": …, "message": …}``, or the same with ``workflow_run_id``, or with
        ``execution_ids``, which holds `name_of_many`.
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
