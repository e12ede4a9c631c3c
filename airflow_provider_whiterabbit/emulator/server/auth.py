"""Authentication of requests: the emulator checks the API key, the timestamp and the Ed25519 signature.

A client signs the JSON text that JavaScript writes for the body. The emulator gets this text from a real JavaScript
engine, so it refuses a client whose JSON differs from JavaScript's, as White Rabbit does.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Mapping
from functools import cache

import quickjs
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.errors import ApiError
from airflow_provider_whiterabbit.emulator.world.settings import Settings

TOLERANCE = 30
"""How many seconds the timestamp of a request may at most differ from the emulator's clock."""


@cache
def _javascript(_process: int) -> quickjs.Function:
    """Return the JavaScript engine of a process. A fork does not copy the engine's thread, so each process needs one.

    The engine of the parent process is kept too: it may only be freed in its own thread.
    """
    # A quickjs context crashes if two threads use it; `quickjs.Function` runs its code in one thread of its own.
    code = "function canonical(text) { return JSON.stringify(JSON.parse(text)); }"
    return quickjs.Function("canonical", code, own_executor=True)


def canonical(body: bytes) -> str:
    """Return ``JSON.stringify(JSON.parse(body))`` as JavaScript computes it.

    :raises ApiError: 400 if JavaScript cannot parse the body.
    """
    try:
        text = body.decode()
        if "\0" in text:
            raise ValueError("NUL character")
        # The function makes no reference cycles, and a search for cycles takes a hundred times as long as the call.
        return str(_javascript(os.getpid())(text, run_gc=False))
    except (ValueError, quickjs.JSException) as error:
        reason = str(error).partition("\n")[0]
        raise ApiError(400, "MALFORMED_JSON", f"The body is not JSON: {reason}") from None


def new_secret() -> str:
    """Return a new API secret: an Ed25519 private key in PKCS#8 DER, base64-encoded."""
    key = Ed25519PrivateKey.generate()
    return base64.b64encode(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())).decode()


class Authenticator:
    """Checks that requests are authenticated with one API key and its secret.

    :param api_secret: Ed25519 private key, as `new_secret` returns it. Only its public key is kept.
    :raises ValueError: if `api_secret` is not an Ed25519 private key.
    """

    def __init__(self, api_key: str, api_secret: str, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self.replace_key(api_key, api_secret)

    def replace_key(self, api_key: str, api_secret: str) -> None:
        """Accept another API key and its secret from now on, instead of the current ones; raises as the constructor."""
        try:
            key = load_der_private_key(base64.b64decode(api_secret, validate=True), None)
        except (TypeError, ValueError) as error:  # a TypeError for an encrypted key
            raise ValueError("the API secret is no private key: it must be base64 of PKCS#8 DER") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("the API secret is a private key, but not an Ed25519 one")
        self._api_key = api_key.encode()
        self._public_key = key.public_key()

    def check(self, method: str, path: str, headers: Mapping[str, str], body: str | None) -> None:
        """Check the API key, the timestamp and the signature of a request.

        :param path: URL path as it was sent, without the query.
        :param headers: names in lower case.
        :param body: the canonical body; None for a request without a body.
        :raises ApiError: 401, with a code that names the invalid header.
        """
        self._check_key(headers.get("x-api-key"))
        timestamp, signature = headers.get("x-sdk-timestamp"), headers.get("x-sdk-signature")
        if timestamp is None and signature is None and not self._needs_signature(path):
            return
        self._check_timestamp(timestamp)
        without_body = f"{method}|{path}|{timestamp}"
        with_body = f"{without_body}|{body or '{}'}"
        mode = "object" if body is not None else self._settings.empty_body_signature
        accepted = {"object": [with_body], "omitted": [without_body], "either": [with_body, without_body]}
        self._check_signature(signature, accepted[mode])

    def _needs_signature(self, path: str) -> bool:
        return self._settings.require_signature and not (self._settings.unsigned_streams and path.endswith("/stream"))

    def _check_key(self, key: str | None) -> None:
        if key is None:
            raise ApiError(401, "MISSING_API_KEY", "The X-Api-Key header is missing.")
        if not hmac.compare_digest(key.encode(), self._api_key):
            raise ApiError(401, "INVALID_API_KEY", "The value of X-Api-Key is not this server's API key.")

    def _check_timestamp(self, timestamp: str | None) -> None:
        if timestamp is None:
            raise ApiError(401, "MISSING_TIMESTAMP", "The X-Sdk-Timestamp header is missing.")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
            raise ApiError(401, "INVALID_TIMESTAMP", "X-Sdk-Timestamp must be Unix time in whole seconds.")
        now = int(self._clock.time())
        ahead = int(timestamp) - now
        if abs(ahead) > TOLERANCE:
            raise ApiError(
                401,
                "TIMESTAMP_OUT_OF_RANGE",
                f"X-Sdk-Timestamp {timestamp} is {abs(ahead)} seconds {'ahead of' if ahead > 0 else 'behind'} "
                f"this server's clock ({now}); up to {TOLERANCE} are allowed.",
            )

    def _check_signature(self, signature: str | None, messages: list[str]) -> None:
        if signature is None:
            raise ApiError(401, "MISSING_SIGNATURE", "The X-Sdk-Signature header is missing.")
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != 64:
            raise ApiError(401, "INVALID_SIGNATURE", "X-Sdk-Signature must be standard base64 of 64 bytes.")
        if not any(self._verifies(raw, message) for message in messages):
            # The message does not show the body: it may contain a callback secret, and clients log error messages.
            method, path, timestamp, *body = messages[0].split("|", 3)
            raise ApiError(
                401,
                "INVALID_SIGNATURE",
                f"X-Sdk-Signature does not verify. The signed text must be {method}|{path}|{timestamp}"
                + (f"| and then the {len(body[0])} characters of JSON.stringify(body)." if body else "."),
            )

    def _verifies(self, signature: bytes, message: str) -> bool:
        try:
            self._public_key.verify(signature, message.encode())
        except InvalidSignature:
            return False
        return True
