"""What the sockets of the blocking client may take in a thread: time, and bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from airflow_provider_whiterabbit.client.transport.exchange import Limits
from airflow_provider_whiterabbit.client.transport.failures import TooSlowError, UnusableAnswerError


@dataclass(slots=True)
class Allowance:
    """What the sockets of a thread may take: the time of `limits`, and so many bytes."""

    limits: Limits
    bytes_left: float
    connected: bool = False
    """Whether a new connection was established (TLS included), before which nothing of a request is sent on it."""

    def seconds(self) -> float:
        """Return how long the socket may wait for its next byte."""
        if (left := self.limits.left) <= 0:
            raise TooSlowError(f"the answer was not complete after {self.limits.total:g} s")
        return min(self.limits.read, left)

    def receive(self, count: int) -> None:
        """Count bytes that the socket has received."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise UnusableAnswerError("the answer has too many bytes besides its body")


_allowance: ContextVar[Allowance] = ContextVar("whiterabbit_allowance")


@contextlib.contextmanager
def limited(limits: Limits, max_bytes: float = float("inf")) -> Iterator[Allowance]:
    """Limit the time and the bytes of all sockets of the blocking client that this thread uses meanwhile.

    Within it, a socket raises `TooSlowError`, or `UnusableAnswerError` for too many bytes.
    """
    allowed = Allowance(limits, max_bytes)
    token = _allowance.set(allowed)
    try:
        yield allowed
    finally:
        _allowance.reset(token)


def allowance() -> Allowance:
    """Return what this thread's sockets may take now.

    :raises LookupError: outside of `limited`.
    """
    return _allowance.get()
