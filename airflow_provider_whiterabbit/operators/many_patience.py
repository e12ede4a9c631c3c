"""How long inputs are submitted again while White Rabbit takes none, or can't be reached."""

from __future__ import annotations

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitRateLimitError,
    WhiteRabbitTransportError,
)

LONGEST = 600.0
"""Seconds for which inputs are submitted again while White Rabbit takes none, because there are too many requests."""

_LONGEST_PAUSE = 60.0


class Patience:
    """The patience of one task. Its threads share it.

    :param first_pause: upper bound of the first pause, in seconds.
    """

    def __init__(self, first_pause: float) -> None:
        self._first_pause = first_pause
        self._accepted_at = monotonic()

    def accepted(self) -> None:
        """Note that White Rabbit has taken an input."""
        self._accepted_at = monotonic()

    def may_wait(self, error: WhiteRabbitError, failures: int, attempts: int) -> bool:
        """Return whether an input is submitted again later, because it was not received for certain.

        :param failures: how often the input could not be submitted.
        :param attempts: how often an input is sent at most, if White Rabbit does not ask for patience.
        """
        if is_busy(error):
            return monotonic() - self._accepted_at < LONGEST
        return isinstance(error, WhiteRabbitTransportError) and failures < attempts

    def pause(self, error: WhiteRabbitError, failures: int) -> float:
        """Return how many seconds to pause before an input is submitted again."""
        longest = _LONGEST_PAUSE if is_busy(error) else retry.MAX_PAUSE
        return retry.pause_after(failures, error, longest=longest, first=self._first_pause)


def is_busy(error: WhiteRabbitError) -> bool:
    """Return whether White Rabbit asks for patience."""
    return isinstance(error, WhiteRabbitRateLimitError) or (
        isinstance(error, WhiteRabbitTransportError) and error.retry_after is not None
    )
