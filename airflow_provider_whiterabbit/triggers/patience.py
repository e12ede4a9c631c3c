"""How a trigger tries to read its Airflow connection, which may only seem missing."""

from __future__ import annotations

from ssl import SSLError
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

if TYPE_CHECKING:
    from tenacity import AsyncRetrying


def patient(seconds: float, connection_id: str, log: Any) -> AsyncRetrying:
    """Return what repeats a failed reading of an Airflow connection.

    :param seconds: how long to try; the last attempt is made when the time is over.
    :param log: a logger, which gets one warning.
    """
    from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay
    from tenacity.wait import wait_random_exponential

    def pause(state: RetryCallState) -> float:
        left = seconds - (state.seconds_since_start or 0.0)
        return max(0.0, min(wait_random_exponential(multiplier=0.5, max=10)(state), left))

    def warn_once(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome:
            cause = clean(str(state.outcome.exception()))
            log.warning("The connection %s can't be read yet, trying again: %s", connection_id, cause)

    return AsyncRetrying(
        retry=retry_if_exception(_may_be_temporary),
        wait=pause,
        stop=stop_after_delay(seconds),
        before_sleep=warn_once,
        reraise=True,
    )


def _may_be_temporary(error: BaseException) -> bool:
    """Return whether an Airflow connection may be readable, and its certificates too, although this failed."""
    return isinstance(error, Exception) and not isinstance(error, WhiteRabbitConfigError | PermissionError | SSLError)
