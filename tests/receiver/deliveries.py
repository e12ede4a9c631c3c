"""Deliveries as White Rabbit makes them, signed with no code of the package."""

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
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def record_of(module: Any = "PAY", status: str = "COMPLETED", **changes: Any) -> dict[str, Any]:
    """Return a finished record as White Rabbit writes it, of an execution that nobody has heard of yet."""
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
    """Return the headers of a delivery.

    :param form: ``timed``, or ``raw`` for the older form.
    :param age: seconds since it was signed.
    """
    if form == "raw":
        return {"x-wr-signature": f"hmac-sha256-v1={hexmac(secret, body)}"}
    timestamp = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    return {
        "x-signature-version": "v1",
        "x-signature-timestamp": timestamp,
        "x-signature": "sha256=" + hexmac(secret, timestamp.encode() + b"." + body),
    }
