"""Verifies callbacks: signed POST requests in which White Rabbit delivers the record of a finished execution.

Callbacks are signed with a secret that White Rabbit and the receiver share. Use this module in an endpoint of your
own::

    from airflow_provider_whiterabbit.client import webhooks

    execution = webhooks.verify(body, headers, secret)  # the body as it arrived, byte for byte

There are three forms of signature, all HMAC-SHA256 in lower-case hexadecimal:

==================  =========================  =======================================
header              value                      signed text
==================  =========================  =======================================
``x-signature``     ``sha256=<hex>``           ``<x-signature-timestamp>.<raw body>``
``x-signature``     ``sha256=<hex>``           the raw body, if the request has no ``x-signature-timestamp``
``x-wr-signature``  ``hmac-sha256-v1=<hex>``   the raw body
==================  =========================  =======================================

The last two forms are older and hold no time: whoever has seen such a callback can send it again. They are accepted
only with ``raw_signatures=True``, and only if the record's ``updatedAt``, which is signed with it, is not too old. A
request with signatures of several forms is judged by the first of these forms. Endpoints must recognise the id of an
execution that they know already; White Rabbit itself may also deliver a callback more than once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, Self

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.client.wire.json_in import integer
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitInputError,
    WhiteRabbitProtocolError,
    WhiteRabbitSignatureError,
)

TOLERANCE = 300.0
"""How many seconds the time of a callback's signature may differ from this machine's clock."""

RAW_MAX_AGE = 7 * 86400.0
"""How many seconds after a record's ``updatedAt`` a signature without a time is accepted.

The age must leave time for White Rabbit's attempts and for a replay of the callback after an outage.
"""

TIMED, TIMESTAMP, VERSION, RAW = "x-signature", "x-signature-timestamp", "x-signature-version", "x-wr-signature"

SIGNATURE_HEADERS = frozenset({TIMED, TIMESTAMP, VERSION, RAW})
"""The HTTP headers that hold a callback's signature. A request that has one of these headers twice is ambiguous."""

_PREFIXES = {TIMED: "sha256=", RAW: "hmac-sha256-v1="}


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance: float = TOLERANCE,
    raw_signatures: bool = False,
    raw_max_age: float = RAW_MAX_AGE,
    now: float | None = None,
) -> Execution:
    """Check the signature of a callback, and return the finished execution's record from the callback's body.

    :param body: the body as it arrived, byte for byte; JSON that was parsed and written again fails.
    :param headers: the request's headers; the case of their names does not matter.
    :param secret: the ``callbackSecret`` of the submission; several secrets, of which one has signed, while you change
        the secret.
    :param tolerance: seconds by which the signature's time may differ from `now`, before or after.
    :param raw_signatures: accept the forms of signature without a time too.
    :param raw_max_age: seconds after the record's ``updatedAt`` for which such a form is accepted.
    :param now: Unix seconds; by default this machine's clock.
    :raises WhiteRabbitSignatureError: if the signature is missing, malformed, stale or wrong: answer 401.
    :raises WhiteRabbitProtocolError: if the signature is valid, but the body is not a finished record: answer 400.
    :raises WhiteRabbitInputError: if there is no secret or an empty one; anyone can sign with an empty secret.
    """
    signature = Signature.of(
        headers, tolerance=tolerance, raw_signatures=raw_signatures, raw_max_age=raw_max_age, now=now
    )
    return signature.verified_record(body, secret)


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature in the headers of a callback request.

    :param claimed: the HMAC that the headers claim, in hexadecimal.
    :param prefix: the part of the signed text before the body.
    :param updated_within: the earliest and latest ``updatedAt`` that the record may have, in Unix seconds; None if the
        signature itself holds a time.
    """

    claimed: bytes
    prefix: bytes = b""
    updated_within: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        headers: Mapping[str, str],
        *,
        tolerance: float,
        raw_signatures: bool = False,
        raw_max_age: float = RAW_MAX_AGE,
        now: float | None = None,
    ) -> Self:
        """Read the signature from a callback's headers; if there are several, the form with a time has priority.

        The parameters are those of `verify`.

        :raises WhiteRabbitSignatureError: if the signature is missing or malformed, a header occurs twice, or the time
            of the signature is not within the tolerance.
        """
        now = time.time() if now is None else now
        found = [(name.lower(), value) for name, value in headers.items() if name.lower() in SIGNATURE_HEADERS]
        by_name = dict(found)
        if len(by_name) != len(found):
            raise WhiteRabbitSignatureError("the request has a signature header twice")
        if TIMED in by_name and by_name.get(VERSION, "v1") != "v1":
            raise WhiteRabbitSignatureError(f"{VERSION} is not v1, the only supported version")
        header = TIMED if TIMED in by_name else RAW
        if header not in by_name:
            raise WhiteRabbitSignatureError(f"there is no {TIMED} header; was the execution submitted with a secret?")
        claimed = _claimed_hmac(by_name[header], header)
        timestamp = by_name.get(TIMESTAMP)
        if header == TIMED and timestamp is not None:
            _check_timestamp(timestamp, tolerance, now)
            return cls(claimed, f"{timestamp}.".encode())
        if not raw_signatures:
            raise WhiteRabbitSignatureError(f"the signature in {header} holds no time, and raw_signatures is off")
        return cls(claimed, updated_within=(now - raw_max_age, now + tolerance))

    def verified_record(self, body: bytes | bytearray, secret: str | Sequence[str]) -> Execution:
        """Check the signature, and return the finished execution's record; `verify` says what is raised."""
        self.check(body, secret)
        return self.record_in(body)

    def record_in(self, body: bytes | bytearray) -> Execution:
        """Return the finished execution's record in a body that `check` has accepted, or in a part of that body.

        :raises WhiteRabbitSignatureError: if the signature holds no time, and the record's ``updatedAt`` is too old.
        :raises WhiteRabbitProtocolError: if the body is not the record of an execution that has ended.
        """
        execution = finished_record(body)
        if self.updated_within is not None:
            earliest, latest = self.updated_within
            updated_at = execution.updated_at
            if updated_at is None or not earliest <= updated_at.timestamp() <= latest:
                raise WhiteRabbitSignatureError(
                    "the record's updatedAt is missing, too old or in the future, and the signature holds no time"
                )
        return execution

    def check(self, body: bytes | bytearray, secret: str | Sequence[str]) -> None:
        """Compare the HMAC in a callback's headers with the HMAC of the callback's body, in constant time.

        For a signature without a time, this says nothing about the age of the callback; `verified_record` does.

        :param secret: one or several; the signature must match one of them.
        :raises WhiteRabbitSignatureError: if the signature does not match.
        :raises WhiteRabbitInputError: if there is no secret, or an empty one.
        """
        secrets = (secret,) if isinstance(secret, str) else tuple(secret)
        if not secrets or not all(secrets):
            raise WhiteRabbitInputError("the secret is empty: anyone could sign with it")
        if not any(self._matches(body, each) for each in secrets):
            raise WhiteRabbitSignatureError("the signature does not match this body and this secret")

    def _matches(self, body: bytes | bytearray, secret: str) -> bool:
        mac = hmac.new(secret.encode(errors="surrogatepass"), self.prefix, hashlib.sha256)
        mac.update(body)
        return hmac.compare_digest(mac.hexdigest().encode(), self.claimed)


def finished_record(body: bytes | bytearray) -> Execution:
    """Return the execution's record in the body of a callback whose signature the caller has checked.

    :raises WhiteRabbitProtocolError: if the body is not the record of an execution that has ended.
    """
    try:
        record = json.loads(body.decode(), parse_int=integer, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise WhiteRabbitProtocolError("callback: the body is not JSON in UTF-8") from None
    execution = Execution.from_dict(record)
    if not execution.is_terminal:
        raise WhiteRabbitProtocolError(f"callback: the execution has not ended, its status is {execution.status}")
    try:
        checks.identifier(execution.id, "id")
    except WhiteRabbitInputError as error:
        raise WhiteRabbitProtocolError(f"callback: {error}") from None
    return execution


def _check_timestamp(timestamp: str, tolerance: float, now: float) -> None:
    try:
        signed_at = datetime.fromisoformat(timestamp) if timestamp.isascii() else None
    except ValueError:
        signed_at = None
    if signed_at is None or signed_at.tzinfo is None:
        raise WhiteRabbitSignatureError(f"{TIMESTAMP} is not an ISO 8601 time with a time zone")
    if abs(signed_at.timestamp() - now) > tolerance:
        raise WhiteRabbitSignatureError(
            f"{TIMESTAMP} is more than {tolerance:g} seconds away from this machine's clock"
        )


def _claimed_hmac(value: str, header: str) -> bytes:
    prefix = _PREFIXES[header]
    if not value.startswith(prefix) or not value.isascii():
        raise WhiteRabbitSignatureError(f"{header} is not of the form {prefix}<hex>")
    return value.removeprefix(prefix).encode()


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)  # Python reads NaN and the infinities, which are not JSON
