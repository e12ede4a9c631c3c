"""How long a wait for an execution or workflow run pauses before the client reads the status again."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError


class Backoff:
    """Counts consecutive failures of a wait for an execution or workflow run, and returns the pause before a retry.

    :param poll_interval: seconds; the pause where nothing failed, and the longest one after failures.
    :param uniform: returns a random number between two bounds.
    """

    __slots__ = ("_poll_interval", "_timing", "_uniform", "error", "failures")

    def __init__(self, poll_interval: float, timing: Timing, uniform: Callable[[float, float], float]) -> None:
        self._poll_interval = max(poll_interval, timing.min_poll_interval)
        self._timing = timing
        self._uniform = uniform
        self.failures = 0
        self.error: WhiteRabbitError | None = None
        """The error that determines the length of the next pause; None if no error occurred since the last pause."""

    @property
    def poll_interval(self) -> float:
        """Seconds between two polls of the record."""
        return self._poll_interval

    def count(self, error: WhiteRabbitError) -> None:
        """Count a failure. The failure with the longest ``Retry-After`` since the last pause decides the next pause."""
        self.failures += 1
        if self.error is None or retry.asked(error) >= retry.asked(self.error):
            self.error = error

    def reset(self) -> None:
        """Reset the number of consecutive failures to zero."""
        self.failures = 0

    def next_pause(self) -> float:
        """Return the length of the next pause in seconds, and forget the error that determined the length."""
        if self.error is None:
            return self._poll_interval
        pause = retry.pause_after(
            max(1, self.failures),
            self.error,
            longest=self._poll_interval,
            first=self._timing.first_pause,
            uniform=self._uniform,
        )
        self.error = None
        return min(pause, self._timing.max_retry_after)
