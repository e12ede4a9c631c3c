"""How an execution's end becomes a task's end: one place for sensors and operators, whichever way they waited."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitProtocolError, WhiteRabbitTimeoutError

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.models import Execution

TIMEOUT = "TIMEOUT"
"""Status of a trigger event: the deadline came first."""

ERROR = "ERROR"
"""Status of a trigger event: the wait could not go on; the event's message says why."""

_ENDED = ("COMPLETED", "FAILED")

_LONGEST_ERROR = 2000  # characters of White Rabbit's error in an exception's message


def output_of(execution: Execution) -> Any:
    """Return the output of an execution that has ended.

    :raises AirflowFailException: if it FAILED: a retry of the task would not make it better.
    """
    if execution.status == "FAILED":
        module = f" ({execution.module})" if execution.module else ""
        raise AirflowFailException(f"Execution {execution.id}{module} FAILED: {_in_words(execution.error)}")
    return execution.output


def check_event(event: Any, id_name: str, identity: str) -> None:
    """Check the event that a trigger ended with. If this returns, what was waited for has ended, well or not.

    :param id_name: the event's field with the id, as ``execution_id``.
    :param identity: the id that was waited for.
    :raises WhiteRabbitTimeoutError: if the deadline came first.
    :raises WhiteRabbitError: if the wait could not go on.
    :raises WhiteRabbitProtocolError: if it is not an event of ours.
    """
    if isinstance(event, dict) and event.get(id_name) == identity:
        if event.get("status") in _ENDED:
            return
        if event.get("status") == TIMEOUT:
            raise WhiteRabbitTimeoutError(str(event.get("message")))
        if event.get("status") == ERROR:
            raise WhiteRabbitError(str(event.get("message")))
    raise WhiteRabbitProtocolError(f"The trigger sent an event that is none of ours: {event!r:.200}")


def _in_words(error: Any) -> str:
    if isinstance(error, dict) and isinstance(error.get("message"), str) and len(error) == 1:
        error = error["message"]
    text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}… ({len(text)} characters)"
