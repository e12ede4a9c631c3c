"""Callbacks: White Rabbit POSTs the finished record of an execution to a URL, signed with a secret that both know.

For endpoints of your own::

    from airflow_provider_whiterabbit.client import webhooks

    record = webhooks.verify(body, headers, secret)  # the body as it arrived, byte for byte

Two forms of signature are known, both HMAC-SHA256 in lower-case hexadecimal:

==================  =========================  =======================================
header              value                      what is signed
==================  =========================  =======================================
``x-signature``     ``sha256=<hex>``           ``<x-signature-timestamp>.<raw body>``
``x-wr-signature``  ``hmac-sha256-v1=<hex>``   the raw body: the older form
==================  =========================  =======================================

The older form holds no time, so it says nothing against an old delivery that is sent again. Whoever accepts it must
recognise an execution's id; so must everyone else, since White Rabbit itself delivers more than once.
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
"""Seconds that a signature's time may be away from our clock."""

TIMED, TIMESTAMP, VERSION, RAW = "x-signature", "x-signature-timestamp", "x-signature-version", "x-wr-signature"

SIGNATURE_HEADERS = frozenset({TIMED, TIMESTAMP, VERSION, RAW})
"""Headers that decide about a signature: one that comes twice makes a request ambiguous."""


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance: float = TOLERANCE,
    raw_signatures: bool = True,
    now: float | None = None,
) -> Execution:
    """Return the finished record that a delivery holds, if it comes from someone who knows the secret.

    :param body: the body as it arrived, byte for byte; JSON that was parsed and written again fails.
    :param headers: the request's headers; the case of their names does not matter.
    :param secret: the ``callbackSecret`` of the submission.
    :param tolerance: seconds that the signature's time may be away from `now`, before or after.
    :param raw_signatures: accept the older form too.
    :param now: Unix seconds; by default this machine's clock.
    :raises WhiteRabbitSignatureError: if the signature is missing, malformed, stale or wrong: answer 401.
    :raises WhiteRabbitProtocolError: if it is right, but the body is not a finished record: answer 400.
    :raises WhiteRabbitInputError: if the secret is empty: anyone can sign with that one.
    """
    signature = Signature.of(headers, tolerance=tolerance, raw_signatures=raw_signatures, now=now)
    signature.check(body, secret)
    return finished_record(body)


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature that a request claims to have.

    :param prefix: what is signed in front of the body.
    """

    claimed: bytes
    prefix: bytes = b""

    @classmethod
    def of(
        cls, headers: Mapping[str, str], *, tolerance: float, raw_signatures: bool = True, now: float | None = None
    ) -> Self:
        """Read it from the headers, which takes no body; the newer form decides where both are there.

        :raises WhiteRabbitSignatureError: if there is none, or its time is not now.
        """
        given = {name.lower(): value for name, value in headers.items()}
        if TIMED in given:
            if given.get(VERSION, "v1") != "v1":
                raise WhiteRabbitSignatureError(f"{VERSION} is not v1, the only version that is known")
            timestamp = given.get(TIMESTAMP, "")
            _check_time(timestamp, tolerance, time.time() if now is None else now)
            return cls(_hex(given[TIMED], TIMED, "sha256="), f"{timestamp}.".encode())
        if RAW in given and raw_signatures:
            return cls(_hex(given[RAW], RAW, "hmac-sha256-v1="))
        raise WhiteRabbitSignatureError(f"there is no {TIMED} header; was the execution submitted with a secret?")

    def check(self, body: bytes | bytearray, secret: str) -> None:
        """Compare with what the secret gives for the body, in constant time.

        :raises WhiteRabbitSignatureError: if it is another one.
        :raises WhiteRabbitInputError: if the secret is empty.
        """
        if not secret:
            raise WhiteRabbitInputError("the secret is empty: anyone could sign with it")
        mac = hmac.new(secret.encode(), self.prefix, hashlib.sha256)
        mac.update(body)
        if not hmac.compare_digest(mac.hexdigest().encode(), self.claimed):
            raise WhiteRabbitSignatureError("the signature is not that of this body with this secret")


def finished_record(body: bytes | bytearray) -> Execution:
    """Return the record that a delivery's body holds.

    :raises WhiteRabbitProtocolError: if it is not the record of an execution that has ended.
    """
    try:
        data = json.loads(body.decode(), parse_int=integer, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise WhiteRabbitProtocolError("callback: the body is not JSON in UTF-8") from None
    execution = Execution.from_dict(data)
    if not execution.status.is_terminal:
        raise WhiteRabbitProtocolError(f"callback: execution is {execution.status}, not ended")
    try:
        checks.identifier(execution.id, "id")
    except WhiteRabbitInputError as error:
        raise WhiteRabbitProtocolError(f"callback: {error}") from None
    return execution


def _check_time(timestamp: str, tolerance: float, now: float) -> None:
    try:
        when = datetime.fromisoformat(timestamp) if timestamp.isascii() else None
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise WhiteRabbitSignatureError(f"{TIMESTAMP} is not an ISO 8601 time with a zone")
    if abs(when.timestamp() - now) > tolerance:
        raise WhiteRabbitSignatureError(
            f"{TIMESTAMP} is more than {tolerance:g} seconds away from this machine's clock"
        )


def _hex(value: str, name: str, prefix: str) -> bytes:
    if not value.startswith(prefix) or not value.isascii():
        raise WhiteRabbitSignatureError(f"{name} does not read {prefix}<hex>")
    return value.removeprefix(prefix).encode()


def _no_number(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and the infinities, which Python reads and JSON does not have
