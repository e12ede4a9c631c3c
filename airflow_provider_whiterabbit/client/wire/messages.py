"""HTTP requests and responses as frozen dataclasses, for the blocking and the asynchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to White Rabbit's API, before signing.

    :param method: upper case.
    :param path: URL path without host and query, ``/v1/…``.
    :param body: the exact bytes to send and sign; `None` for a request without a body.
    :param idempotent: whether sending it twice does no more than sending it once.
    :param server_wait: seconds for which the server may delay its answer (``waitForMs``), on top of the read
        time-out.
    """

    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)  # may hold secrets of inputs and of a callback
    idempotent: bool = False
    server_wait: float = 0.0

    def __reduce__(self) -> Any:
        raise TypeError("a request can't be pickled, because it may hold secrets")


@dataclass(frozen=True, slots=True)
class Response:
    """One whole HTTP response of the server.

    :param headers: names in lower case.
    :param received_at: when it arrived by this machine's clock, in Unix seconds.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)  # they and the body may repeat secrets
    body: bytes = field(repr=False)
    received_at: float
