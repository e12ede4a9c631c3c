"""Callbacks as White Rabbit delivers them, signed without any code of the package."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

SECRET = "whsec_of_the_default"
OTHER_SECRET = "whsec_of_another"
CONNECTION = "whiterabbit_default"


def hexmac(secret: str, message: bytes) -> str:
    """Return the HMAC-SHA256 of a message in hexadecimal."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def record_of(module: Any = "PAY", status: str = "COMPLETED", **changes: Any) -> dict[str, Any]:
    """Return the finished record of a new execution, as White Rabbit delivers it."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    ended = {"output": {"hash": "0x1"}, "error": None} if status == "COMPLETED" else {"output": None, "error": "no"}
    return {
        "id": str(uuid.uuid4()),
        "module": module,
        "status": status,
        "completed": True,
        **ended,
        "totalUsage": 1,
        "createdAt": now,
        "updatedAt": now,
        **changes,
    }


def signed(body: bytes, secret: str = SECRET, *, form: str = "timed", age: float = 0.0) -> dict[str, str]:
    """Return the signature headers of a callback.

    :param form: form of the signature: ``timed``, or one of the older forms without a time: ``raw``, ``bare``.
    :param age: seconds since White Rabbit signed it.
    """
    if form == "raw":
        return {"x-wr-signature": f"hmac-sha256-v1={hexmac(secret, body)}"}
    if form == "bare":
        return {"x-signature": f"sha256={hexmac(secret, body)}"}
    timestamp = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    return {
        "x-signature-version": "v1",
        "x-signature-timestamp": timestamp,
        "x-signature": "sha256=" + hexmac(secret, timestamp.encode() + b"." + body),
    }
