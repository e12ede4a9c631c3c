"""Dataclasses for executions of White Rabbit components: records, stream events and the state of callbacks.

`id`, `status`, `output` and `error` are parsed strictly and raise `WhiteRabbitProtocolError`. Every other field becomes
`None` where its form is unknown (see `fields`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import pendulum

from airflow_provider_whiterabbit.client.records.fields import (
    MAX_MODULE,
    error_text,
    lenient,
    list_of_str,
    number,
    of_type,
    strict_id,
    strict_object,
    strict_status,
    time,
    warn_of,
)
from airflow_provider_whiterabbit.client.records.status import ExecutionStatus, HasStatus, status_text
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError

_MAX_ERROR = 1_600
"""How many characters of an execution's error a message shows at most."""


@dataclass(frozen=True, slots=True)
class Callback:
    """The state of an execution's callback: the callback's URL, the attempts at delivery, and the last error."""

    url: str | None = None
    signed: bool | None = None
    signature_algorithm: str | None = None
    header_names: tuple[str, ...] | None = None
    last_attempt_at: pendulum.DateTime | None = None
    delivered_at: pendulum.DateTime | None = None
    attempt_count: int | None = None
    last_error: Any = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Parse the ``callback`` member of an execution's record; a field of an unknown form becomes None."""
        names = lenient(data, "headerNames", list_of_str)
        return cls(
            url=lenient(data, "url", of_type(str)),
            signed=lenient(data, "signed", of_type(bool)),
            signature_algorithm=lenient(data, "signatureAlgorithm", of_type(str)),
            header_names=None if names is None else tuple(names),
            last_attempt_at=lenient(data, "lastAttemptAt", time),
            delivered_at=lenient(data, "deliveredAt", time),
            attempt_count=lenient(data, "attemptCount", of_type(int)),
            last_error=data.get("lastError"),
        )


@dataclass(frozen=True, slots=True)
class Execution(HasStatus):
    """The record of one execution of a component (White Rabbit's API reference, *Execute Component*).

    `output` and `error` are any JSON value. `total_usage` is the number of credits spent.
    """

    id: str
    status: ExecutionStatus | str
    output: Any
    error: Any
    module: str | None = None
    total_usage: float | None = None
    callback: Callback | None = None
    created_at: pendulum.DateTime | None = None
    updated_at: pendulum.DateTime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def completed(self) -> bool:
        """Whether the execution has ended, successfully or not (the API's meaning of *completed*)."""
        return self.is_terminal

    @property
    def lags(self) -> bool:
        """Whether the record has ended by its field ``completed``, but not by its status."""
        return self.raw.get("completed") is True and not self.is_terminal

    @property
    def progress(self) -> str:
        """The execution's status as text, for the log."""
        return status_text(self.status)

    @property
    def result(self) -> Any:
        """The execution's output, which an Airflow task returns as its result."""
        return self.output

    @property
    def failure(self) -> str:
        """An error message that says why the execution did not complete."""
        module = f" ({clean(self.module, MAX_MODULE)})" if self.module else ""
        return clean(f"Execution {self.id}{module} {self.status}: {error_text(self.error, _MAX_ERROR)}")

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Parse an execution's record, given as decoded JSON.

        :raises WhiteRabbitProtocolError: if `id`, `status`, `output` or `error` are not as documented.
        """
        record = strict_object(data, "execution record")
        execution_id = strict_id(record, "execution record")
        status = strict_status(record, ExecutionStatus, "execution record")
        callback = lenient(record, "callback", of_type(dict))
        output, error = _strict_outcome(record, status, "execution record")
        if status == ExecutionStatus.COMPLETED and error is not None:
            warn_of(record, f"the status is {status} although there is an error")
        return cls(
            id=execution_id,
            status=status,
            output=output,
            error=error,
            module=lenient(record, "module", of_type(str)),
            total_usage=lenient(record, "totalUsage", number),
            callback=None if callback is None else Callback.from_dict(callback),
            created_at=lenient(record, "createdAt", time),
            updated_at=lenient(record, "updatedAt", time),
            raw=record,
        )

    @classmethod
    def from_submission(cls, answer: Any) -> Self:
        """Parse the execution's record in the response to a submission; the caller has checked that there is an id.

        :raises WhiteRabbitProtocolError: if the record is not as documented. The message names the execution, which
            runs all the same.
        """
        try:
            return cls.from_dict(answer)
        except WhiteRabbitProtocolError as error:
            raise WhiteRabbitProtocolError(f"Execution {answer.get('id')} was submitted, but: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the execution's record as the API sent it: a JSON object, suitable for XCom."""
        return dict(self.raw)


@dataclass(frozen=True, slots=True)
class ExecutionEvent(HasStatus):
    """One event of an execution's event stream (White Rabbit's API reference, *Status & Streaming*)."""

    id: str
    status: ExecutionStatus | str
    output: Any
    error: Any
    timestamp: pendulum.DateTime | None = None

    @property
    def progress(self) -> str:
        """The execution's status as text, for the log."""
        return status_text(self.status)

    @property
    def updated_at(self) -> pendulum.DateTime | None:
        """When the execution reached the event's status: the `timestamp`, under the name that execution records use."""
        return self.timestamp

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Parse the JSON data of an event from an execution's event stream.

        :raises WhiteRabbitProtocolError: if `id`, `status`, `output` or `error` are not as documented.
        """
        event = strict_object(data, "stream event")
        status = strict_status(event, ExecutionStatus, "stream event", is_part=True)
        output, error = _strict_outcome(event, status, "stream event")
        return cls(
            id=strict_id(event, "stream event"),
            status=status,
            output=output,
            error=error,
            timestamp=lenient(event, "timestamp", time),
        )


def _strict_outcome(data: Mapping[str, Any], status: str, where: str) -> tuple[Any, Any]:
    """Return output and error; the status COMPLETED requires an ``output`` member and FAILED an ``error`` member."""
    promised = {"COMPLETED": "output", "FAILED": "error"}.get(status)
    if promised is not None and promised not in data:
        raise WhiteRabbitProtocolError(f"{where}: status is {status} but '{promised}' is missing")
    return data.get("output"), data.get("error")
