"""Verifies callbacks: signed POST requests in which White Rabbit delivers the record of a finished execution.

Callbacks are signed with a secret that White Rabbit and the receiver share. Use this module in an endpoint of your
own::

    from airflow_provider_whiterabbit.client import webhooks

    execution = webhooks.verify(body, headers, secret)  # the body as it arrived, byte for byte

There are two forms of signature, both HMAC-SHA256 in lower-case hexadecimal:

==================  =========================  =======================================
header              value                      signed text
==================  =========================  =======================================
``x-signature``     ``sha256=<hex>``           ``<x-signature-timestamp>.<raw body>``
``x-wr-signature``  ``hmac-sha256-v1=<hex>``   the raw body (the older form)
==================  =========================  =======================================

The older form holds no time, so it does not show whether somebody sends an old callback again. Endpoints must recognise
the id of an execution that they know already; White Rabbit itself may also deliver a callback more than once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
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

TIMED, TIMESTAMP, VERSION, RAW = "x-signature", "x-signature-timestamp", "x-signature-version", "x-wr-signature"

SIGNATURE_HEADERS = frozenset({TIMED, TIMESTAMP, VERSION, RAW})
"""The HTTP headers that hold a callback's signature. A request that has one of these headers twice is ambiguous."""


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance: float = TOLERANCE,
    raw_signatures: bool = True,
    now: float | None = None,
) -> Execution:
    """Check the signature of a callback, and return the finished execution's record from the callback's body.

    :param body: the body as it arrived, byte for byte; JSON that was parsed and written again fails.
    :param headers: the request's headers; the case of their names does not matter.
    :param secret: the ``callbackSecret`` of the submission.
    :param tolerance: seconds by which the signature's time may differ from `now`, before or after.
    :param raw_signatures: accept the older form of signature too.
    :param now: Unix seconds; by default this machine's clock.
    :raises WhiteRabbitSignatureError: if the signature is missing, malformed, stale or wrong: answer 401.
    :raises WhiteRabbitProtocolError: if the signature is valid, but the body is not a finished record: answer 400.
    :raises WhiteRabbitInputError: if the secret is empty; anyone can sign with an empty secret.
    """
    signature = Signature.of(headers, tolerance=tolerance, raw_signatures=raw_signatures, now=now)
    signature.check(body, secret)
    return finished_record(body)


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature in the headers of a callback request; the method `check` raises an error if the signature is wrong.

    :param claimed: the HMAC that the headers claim, in hexadecimal.
    :param prefix: the part of the signed text before the body.
    """

    claimed: bytes
    prefix: bytes = b""

    @classmethod
    def of(
        cls, headers: Mapping[str, str], *, tolerance: float, raw_signatures: bool = True, now: float | None = None
    ) -> Self:
        """Read the signature from a callback's headers; ``x-signature`` has priority over the older ``x-wr-signature``.

        The parameters are those of `verify`.

        :raises WhiteRabbitSignatureError: if the signature is missing or malformed, or its time is not within the
            tolerance.
        """
        by_name = {name.lower(): value for name, value in headers.items()}
        if TIMED in by_name:
            if by_name.get(VERSION, "v1") != "v1":
                raise WhiteRabbitSignatureError(f"{VERSION} is not v1, the only supported version")
            timestamp = by_name.get(TIMESTAMP, "")
            _check_timestamp(timestamp, tolerance, time.time() if now is None else now)
            return cls(_claimed_hmac(by_name[TIMED], TIMED, "sha256="), f"{timestamp}.".encode())
        if RAW in by_name and raw_signatures:
            return cls(_claimed_hmac(by_name[RAW], RAW, "hmac-sha256-v1="))
        raise WhiteRabbitSignatureError(f"there is no {TIMED} header; was the execution submitted with a secret?")

    def check(self, body: bytes | bytearray, secret: str) -> None:
        """Compare the HMAC in a callback's headers with the HMAC of the callback's body, in constant time.

        :raises WhiteRabbitSignatureError: if they differ.
        :raises WhiteRabbitInputError: if the secret is empty.
        """
        if not secret:
            raise WhiteRabbitInputError("the secret is empty: anyone could sign with it")
        mac = hmac.new(secret.encode(), self.prefix, hashlib.sha256)
        mac.update(body)
        if not hmac.compare_digest(mac.hexdigest().encode(), self.claimed):
            raise WhiteRabbitSignatureError("the signature does not match this body and this secret")


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


def _claimed_hmac(value: str, header: str, prefix: str) -> bytes:
    if not value.startswith(prefix) or not value.isascii():
        raise WhiteRabbitSignatureError(f"{header} is not of the form {prefix}<hex>")
    return value.removeprefix(prefix).encode()


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)  # Python reads NaN and the infinities, which are not JSON
