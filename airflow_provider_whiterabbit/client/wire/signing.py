"""The HTTP headers that sign a request with Ed25519 (White Rabbit's API reference, *Authentication*)."""

from __future__ import annotations

import base64
import binascii
import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from airflow_provider_whiterabbit.client.wire.answers import CLOCK_WINDOW, clock_message
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.exceptions import WhiteRabbitAuthenticationError, WhiteRabbitConfigError

log = logging.getLogger(__name__)

EmptyBodySignature = Literal["object", "omitted"]

CLOCK_LIMIT = 300.0
"""Largest difference, in seconds, between this machine's clock and White Rabbit's that the client corrects."""


@lru_cache(maxsize=64)  # a triggerer parses each key once, not once a trigger
def load_private_key(secret: str) -> Ed25519PrivateKey:
    """Parse the API secret, which is an Ed25519 private key.

    :param secret: an Ed25519 private key, PKCS#8, as base64 of its DER form (how White Rabbit shows it) or as PEM.
    :raises WhiteRabbitConfigError: if it is anything else. The message holds no part of the secret.
    """
    secret = secret.strip()
    try:
        if secret.startswith("-----BEGIN"):
            # The line ends are often escaped where a connection is kept as a URI or in an environment variable.
            key = load_pem_private_key(secret.replace("\\n", "\n").encode(), password=None)
        else:
            der = base64.b64decode("".join(secret.split()), validate=True)
            key = load_der_private_key(der, password=None)
            # Some versions of cryptography ignore bytes behind the key. Its length fits into one byte.
            if der[1] < 0x80 and len(der) != 2 + der[1]:
                raise ValueError
    except binascii.Error:
        raise _bad_secret("is not base64") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _bad_secret("does not hold an unencrypted private key in PKCS#8 form") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _bad_secret("holds a private key that is not Ed25519")
    return key


def _bad_secret(problem: str) -> WhiteRabbitConfigError:
    return WhiteRabbitConfigError(
        f"The connection's password {problem}. It must be the API secret that White Rabbit showed when the key was "
        "made: an Ed25519 private key, PKCS#8 DER in base64 (or PEM)."
    )


def signed_message(request: Request, timestamp: str, empty_body: EmptyBodySignature = "object") -> bytes:
    """Return the bytes to sign for an HTTP request: ``METHOD|PATH|TIMESTAMP|BODY``, without the empty parts.

    :param timestamp: Unix time in whole seconds.
    :param empty_body: how a request without a body is signed: ``object`` signs ``{}`` as its body, as the documented
        helper does; ``omitted`` leaves the body out.
    """
    body = request.body
    if body is None:
        body = b"{}" if empty_body == "object" else b""
    parts = (request.method.encode(), request.path.encode(), timestamp.encode(), body)
    return b"|".join(part for part in parts if part)


class Signer:
    """Makes the three HTTP headers that sign a request, with the time of this machine's clock or of a corrected clock.

    :param clock: returns Unix seconds.
    :raises WhiteRabbitConfigError: if the secret is not an Ed25519 private key.
    """

    __slots__ = ("_api_key", "_clock", "_empty_body", "_offset_before", "_private_key", "offset")

    def __init__(
        self,
        api_key: str,
        api_secret: str,
        empty_body: EmptyBodySignature = "object",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api_key = api_key
        self._private_key = load_private_key(api_secret)
        self._empty_body: EmptyBodySignature = empty_body
        self._clock = clock
        self._offset_before = 0.0
        self.offset = 0.0
        """Seconds that are added to this machine's clock for signing requests, because the server's clock is ahead."""

    def headers(self, request: Request) -> dict[str, str]:
        """Return the HTTP headers that sign a request, to be sent soon: a signature is valid for 30 seconds."""
        timestamp = str(int(self._clock() + self.offset))
        signature = self._private_key.sign(signed_message(request, timestamp, self._empty_body))
        return {
            "X-Api-Key": self._api_key,
            "X-Sdk-Timestamp": timestamp,
            "X-Sdk-Signature": base64.b64encode(signature).decode(),
        }

    def correct_clock(self, error: WhiteRabbitAuthenticationError) -> bool:
        """Adopt the server's clock if a wrong clock may explain a 401 response; return whether to sign again.

        Call it only for answers that arrived over HTTPS or from this machine. Others can be forged.
        """
        offset = error.clock_offset
        # The clock that signed may have been corrected before, so its offset counts too.
        if offset is None or abs(offset) > CLOCK_LIMIT or abs(offset - self.offset) < CLOCK_WINDOW:
            return False
        if abs(offset) < CLOCK_WINDOW:
            log.info("This machine's clock is right again; requests are signed by it")
            offset = 0.0
        else:
            log.warning(
                "%s. Requests are signed by White Rabbit's clock; set this machine's clock (NTP).",
                clock_message(offset),
            )
        self._offset_before, self.offset = self.offset, offset
        return True

    def undo_correction(self) -> None:
        """Take back the last correction, because the server refused the corrected request too: its reason is another.

        A wrong ``Date`` of a proxy would otherwise spoil the signatures of a clock that is right.
        """
        log.info("The corrected clock did not help; requests are signed by the clock as it was before")
        self.offset = self._offset_before
