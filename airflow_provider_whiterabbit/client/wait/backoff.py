"""How long a wait for an execution or workflow run pauses before the client reads the status again."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError


class Backoff:
    """Counts consecutive failures of a wait for an execution or workflow run, and returns the pause before a retry.

    :param poll_interval: seconds; the pause where nothing failed, and the longest random part of one after failures.
    :param uniform: returns a random number between two bounds.
    :param clock: returns the seconds of a monotonic clock.
    """

    __slots__ = ("_clock", "_not_before", "_poll_interval", "_timing", "_uniform", "error", "failures")

    def __init__(
        self,
        poll_interval: float,
        timing: Timing,
        uniform: Callable[[float, float], float],
        clock: Callable[[], float],
    ) -> None:
        self._poll_interval = max(poll_interval, timing.min_poll_interval)
        self._timing = timing
        self._uniform = uniform
        self._clock = clock
        self._not_before = float("-inf")
        self.failures = 0
        self.error: WhiteRabbitError | None = None
        """The last failure; None if nothing failed since the last pause."""

    @property
    def poll_interval(self) -> float:
        """Seconds between two polls of the record."""
        return self._poll_interval

    @property
    def asked(self) -> float:
        """Seconds that are left of the ``Retry-After`` that ends last; 0 if there is none."""
        return max(0.0, self._not_before - self._clock())

    def count(self, error: WhiteRabbitError) -> None:
        """Count a failure. Of several ``Retry-After``, the one that ends last counts."""
        self.failures += 1
        self.error = error
        asked = min(retry.asked(error), self._timing.max_retry_after)
        self._not_before = max(self._not_before, self._clock() + asked)

    def reset(self) -> None:
        """Forget all failures and every ``Retry-After``, because all is well again."""
        self.failures = 0
        self.error = None
        self._not_before = float("-inf")

    def next_pause(self) -> float:
        """Return the length of the next pause in seconds, and forget the last failure, but not the number of failures.

        After a failure the pause is random, so that many waits do not come back together. A ``Retry-After`` is added.
        """
        if self.error is None:
            return max(self._poll_interval, self.asked)
        self.error = None
        return self.asked + retry.jitter(
            max(1, self.failures),
            longest=self._poll_interval,
            first=self._timing.first_pause,
            uniform=self._uniform,
        )
