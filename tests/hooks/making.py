"""What tests need to make hooks of many connections."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

MakeHook = Callable[..., WhiteRabbitHook]


def der(key: Any, encryption: Any = None) -> str:
    """Return a private key in the form of an API secret: PKCS#8 DER in base64."""
    return base64.b64encode(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, encryption or NoEncryption())).decode()
