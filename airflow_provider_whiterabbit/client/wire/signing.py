"""Message → Ed25519 signature → headers (API reference, *Authentication*)."""

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

from airflow_provider_whiterabbit.client.wire.answers import CLOCK_WINDOW, clock_in_words
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.exceptions import WhiteRabbitAuthenticationError, WhiteRabbitConfigError

log = logging.getLogger(__name__)

EmptyBodySignature = Literal["object", "omitted"]

CLOCK_LIMIT = 300.0
"""Seconds. A `Date` further away is not believed: a replayed answer must not make us sign for another hour."""


@lru_cache(maxsize=64)  # a triggerer parses each key once, not once a trigger
def load_private_key(secret: str) -> Ed25519PrivateKey:
    """Parse the API secret.

    :param secret: an Ed25519 private key, PKCS#8, as base64 of its DER form (how White Rabbit shows it) or as PEM.
    :raises WhiteRabbitConfigError: if it is anything else; the message never holds any of it.
    """
    secret = secret.strip()
    try:
        if secret.startswith("-----BEGIN"):
            # A connection kept as a URI or in an environment variable often has its line ends escaped.
            key = load_pem_private_key(secret.replace("\\n", "\n").encode(), password=None)
        else:
            der = base64.b64decode("".join(secret.split()), validate=True)
            key = load_der_private_key(der, password=None)
            # Some versions take what comes behind. A length of one byte is that of every key without long attributes.
            if der[1] < 0x80 and len(der) != 2 + der[1]:
                raise ValueError
    except binascii.Error:
        raise _bad_secret("is not base64") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _bad_secret("does not hold an unencrypted private key in PKCS#8 form") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _bad_secret("holds a private key that is not Ed25519")
    return key


def _bad_secret(what: str) -> WhiteRabbitConfigError:
    return WhiteRabbitConfigError(
        f"The connection's password {what}. It must be the API secret that White Rabbit showed when the key was made: "
        "an Ed25519 private key, PKCS#8 DER in base64 (or PEM)."
    )


def signed_message(request: Request, timestamp: str, empty_body: EmptyBodySignature = "object") -> bytes:
    """Return the bytes that are signed: ``METHOD|PATH|TIMESTAMP|BODY``, empty parts left out.

    :param timestamp: Unix time in whole seconds.
    :param empty_body: what stands for the body of a request without one: ``object`` signs ``{}``, as the documented
        helper does; ``omitted`` leaves the part out, as a server that sees no body at all would.
    """
    body = request.body
    if body is None:
        body = b"{}" if empty_body == "object" else b""
    parts = (request.method.encode(), request.path.encode(), timestamp.encode(), body)
    return b"|".join(part for part in parts if part)


class Signer:
    """Makes the three headers of a request, by a clock that follows the server's where ours is wrong.

    :param clock: our time in Unix seconds.
    :raises WhiteRabbitConfigError: if the secret is not an Ed25519 private key.
    """

    __slots__ = ("_api_key", "_clock", "_empty_body", "_private_key", "offset")

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
        self.offset = 0.0
        """Seconds by which we believe the server's clock to be ahead of ours."""

    def headers(self, request: Request) -> dict[str, str]:
        """Sign a request as of now. A signature is good for 30 seconds: call this after waiting, not before."""
        timestamp = str(int(self._clock() + self.offset))
        signature = self._private_key.sign(signed_message(request, timestamp, self._empty_body))
        return {
            "X-Api-Key": self._api_key,
            "X-Sdk-Timestamp": timestamp,
            "X-Sdk-Signature": base64.b64encode(signature).decode(),
        }

    def correct_clock(self, error: WhiteRabbitAuthenticationError) -> bool:
        """Adopt the server's clock if that may be why it refused us; return whether signing again is worth it.

        Call it only for answers that arrived over HTTPS or from this machine: others can be forged.
        """
        offset = error.clock_offset
        # What counts is how far the server is from the clock that we signed by, which may have been corrected before.
        if offset is None or abs(offset) > CLOCK_LIMIT or abs(offset - self.offset) < CLOCK_WINDOW:
            return False
        if abs(offset) < CLOCK_WINDOW:
            log.info("This machine's clock is right again; signing by it")
            offset = 0.0
        else:
            log.warning("%s; signing by White Rabbit's clock. Set this machine's (NTP).", clock_in_words(offset))
        self.offset = offset
        return True
