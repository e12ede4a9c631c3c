"""What is sent to White Rabbit and what comes back, as frozen values.

Parsing follows one rule: unknown is not success. `id`, `status`, `output` and `error` are checked strictly and raise
`WhiteRabbitProtocolError`; every other field that has an unexpected shape becomes `None` with one warning, because a
new date format must not fail a payment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self, TypeVar

import pendulum

from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError

log = logging.getLogger(__name__)

T = TypeVar("T")


class ExecutionStatus(StrEnum):
    """Where an execution stands. CREATED means queued."""

    CREATED = "CREATED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing will change any more."""
        return self in (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the API describes it, before it is signed.

    :param method: upper case.
    :param path: URL path without host and query, ``/v1/…``.
    :param body: the exact bytes to send and sign; `None` for a request without a body.
    :param server_wait: seconds for which the server may hold its answer back by agreement (``waitForMs``); the read
        time-out comes on top.
    """

    method: str
    path: str
    body: bytes | None = None
    server_wait: float = 0.0

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class Response:
    """One whole answer.

    :param headers: names in lower case.
    :param received_at: our clock when it arrived, in Unix seconds.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float


@dataclass(frozen=True, slots=True)
class Callback:
    """Where and how an execution's finished record is delivered."""

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
        """Parse the ``callback`` part of an execution record; nothing in it is worth failing for."""
        names = _lenient(data, "headerNames", _list_of_str)
        return cls(
            url=_lenient(data, "url", _of_type(str)),
            signed=_lenient(data, "signed", _of_type(bool)),
            signature_algorithm=_lenient(data, "signatureAlgorithm", _of_type(str)),
            header_names=None if names is None else tuple(names),
            last_attempt_at=_lenient(data, "lastAttemptAt", _time),
            delivered_at=_lenient(data, "deliveredAt", _time),
            attempt_count=_lenient(data, "attemptCount", _of_type(int)),
            last_error=data.get("lastError"),
        )


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution record (API reference, *Execute Component*).

    `output` and `error` are any JSON value; `total_usage` is credits spent.
    """

    id: str
    status: ExecutionStatus
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
        """Whether the execution has ended, well or not (the API's word)."""
        return self.status.is_terminal

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Parse an execution record.

        :raises WhiteRabbitProtocolError: if `id`, `status`, `output` or `error` are not as documented.
        """
        record = _strict_object(data, "execution record")
        identity = _strict_id(record, "execution record")
        status = _strict_status(record, ExecutionStatus, "execution record")
        callback = _lenient(record, "callback", _of_type(dict))
        output, error = _strict_outcome(record, status, "execution record")
        return cls(
            id=identity,
            status=status,
            output=output,
            error=error,
            module=_lenient(record, "module", _of_type(str)),
            total_usage=_lenient(record, "totalUsage", _number),
            callback=None if callback is None else Callback.from_dict(callback),
            created_at=_lenient(record, "createdAt", _time),
            updated_at=_lenient(record, "updatedAt", _time),
            raw=record,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the record as the API gave it: plain JSON, fit for XCom."""
        return dict(self.raw)


@dataclass(frozen=True, slots=True)
class ExecutionEvent:
    """One event of an execution's stream (API reference, *Status & Streaming*)."""

    id: str
    status: ExecutionStatus
    output: Any
    error: Any
    timestamp: pendulum.DateTime | None = None

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Parse the data of a stream event.

        :raises WhiteRabbitProtocolError: if `id`, `status`, `output` or `error` are not as documented.
        """
        event = _strict_object(data, "stream event")
        status = _strict_status(event, ExecutionStatus, "stream event")
        output, error = _strict_outcome(event, status, "stream event")
        return cls(
            id=_strict_id(event, "stream event"),
            status=status,
            output=output,
            error=error,
            timestamp=_lenient(event, "timestamp", _time),
        )


S = TypeVar("S", bound=StrEnum)


def _strict_object(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise WhiteRabbitProtocolError(f"{what}: expected a JSON object, got {type(data).__name__}")
    return data


def _strict_id(data: Mapping[str, Any], what: str) -> str:
    identity = data.get("id")
    if not isinstance(identity, str) or not identity:
        raise WhiteRabbitProtocolError(f"{what}: 'id' is missing or not a string")
    return identity


def _strict_status(data: Mapping[str, Any], statuses: type[S], what: str) -> S:
    status = data.get("status")
    try:
        return statuses(status)
    except ValueError:
        known = ", ".join(statuses)
        raise WhiteRabbitProtocolError(f"{what}: status {status!r:.80} is none of {known}") from None


def _strict_outcome(data: Mapping[str, Any], status: ExecutionStatus, what: str) -> tuple[Any, Any]:
    """Return output and error. The field that the status promises must be there (its value may be null)."""
    promised = {ExecutionStatus.COMPLETED: "output", ExecutionStatus.FAILED: "error"}.get(status)
    if promised is not None and promised not in data:
        raise WhiteRabbitProtocolError(f"{what}: status is {status} but '{promised}' is missing")
    return data.get("output"), data.get("error")


def _lenient(data: Mapping[str, Any], name: str, parse: Callable[[Any], T]) -> T | None:
    value = data.get(name)
    if value is None:
        return None
    try:
        return parse(value)
    except (ValueError, TypeError, OverflowError):
        _warn_once(name)
        return None


_warned: set[str] = set()


def _warn_once(name: str) -> None:
    if name not in _warned:
        _warned.add(name)
        log.warning("White Rabbit sent field %r in a form that this version does not know; it reads as None", name)


def _of_type(kind: type[T]) -> Callable[[Any], T]:
    def parse(value: Any) -> T:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError
        return value

    return parse


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _list_of_str(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return value


def _time(value: Any) -> pendulum.DateTime:
    if not isinstance(value, str):
        raise TypeError
    parsed = pendulum.parse(value)
    if not isinstance(parsed, pendulum.DateTime):
        raise TypeError
    return parsed
