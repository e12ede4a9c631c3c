"""How long a wait pauses between two attempts."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError


class Backoff:
    """Counts the failures in a row, and returns the pause that follows them.

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
        """The failure that decides about the next pause; None if there was none since the last pause."""

    @property
    def poll_interval(self) -> float:
        """Seconds between two polls."""
        return self._poll_interval

    def count(self, error: WhiteRabbitError) -> None:
        """Count a failure. Of several before one pause, the one with the longest ``Retry-After`` decides."""
        self.failures += 1
        if self.error is None or retry.asked(error) >= retry.asked(self.error):
            self.error = error

    def reset(self) -> None:
        """Let the next failure be the first one in a row."""
        self.failures = 0

    def next_pause(self) -> float:
        """Return the seconds to pause, and forget the failure that decided about them."""
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
