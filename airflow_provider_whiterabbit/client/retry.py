"""Rules for retries: which failed requests are sent again, and after which pause. The module does no I/O.

Besides success, a request has three outcomes. *Never sent*: it failed before its first byte was written. *Refused*: the
answer is a 4xx other than 408. *Uncertain*: everything else. A POST can move money, so it is sent again only if it was
never sent, or was answered with 429. An idempotent request is also sent again if its outcome is uncertain, or if
something other than the API refused it: only the API knows about an execution.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt

from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitRateLimitError,
    WhiteRabbitResponseError,
    WhiteRabbitTransportError,
)

ATTEMPTS = 5
"""How many times a call of the API is attempted at most. A wait for an execution's end has a deadline instead."""

FIRST_PAUSE = 0.5
"""Upper bound, in seconds, of the pause after the first failure. The bound doubles with each further failure."""

MAX_PAUSE = 20.0
"""Upper bound, in seconds, of the random pause before a retry; a call with a longer ``Retry-After`` is not retried."""

_REQUEST_TIMEOUT = 408

_TEMPORARY = (_REQUEST_TIMEOUT, 425, 429)
"""The HTTP statuses below 500 of a trouble that passes: *Request Timeout*, *Too Early*, *Too Many Requests*."""


def is_transient(error: BaseException) -> bool:
    """Return whether an error may be temporary: a failed connection, too many requests, or a failing server.

    An answer that is not one of the API is temporary whatever its status: a proxy, an ingress or a firewall sent it,
    which knows nothing about an execution.
    """
    if isinstance(error, WhiteRabbitResponseError):
        return not (error.is_from_api and error.status >= 400 and is_refusal(error))
    return isinstance(error, WhiteRabbitTransportError)


def is_refusal(error: BaseException) -> bool:
    """Return whether an HTTP response refuses a request for more than a moment, if its sender is to be believed."""
    return isinstance(error, WhiteRabbitResponseError) and error.status < 500 and error.status not in _TEMPORARY


def is_refused(error: BaseException) -> bool:
    """Return whether an HTTP response refuses a request, perhaps only for a moment (429)."""
    return is_refusal(error) or isinstance(error, WhiteRabbitRateLimitError)


def may_repeat(request: Request, error: BaseException) -> bool:
    """Return whether a failed request can be sent again without the risk that White Rabbit does the work twice."""
    if isinstance(error, WhiteRabbitRateLimitError):
        return True
    if isinstance(error, WhiteRabbitTransportError) and not error.sent:
        return True
    return request.idempotent and is_transient(error)


def is_uncertain(error: BaseException) -> bool:
    """Return whether a submission may have reached White Rabbit although the request failed with the given error."""
    if isinstance(error, WhiteRabbitResponseError):
        return not 400 <= error.status < 500 or error.status == _REQUEST_TIMEOUT
    return not (isinstance(error, WhiteRabbitTransportError) and not error.sent)


def pause_after(
    failures: int,
    error: BaseException | None,
    *,
    longest: float = MAX_PAUSE,
    first: float = FIRST_PAUSE,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return how many seconds to pause before a failed request is sent again.

    The pause is random between zero and a bound that doubles with each failure (full jitter), to avoid a thundering
    herd. The seconds of a ``Retry-After`` are added to it.

    :param failures: how many attempts have failed in a row, from 1.
    :param longest: the bound ends here, in seconds.
    :param first: the bound after the first failure, in seconds.
    :param uniform: returns a random number between two bounds.
    """
    return asked(error) + jitter(failures, longest=longest, first=first, uniform=uniform)


def jitter(failures: int, *, longest: float, first: float, uniform: Callable[[float, float], float]) -> float:
    """Return the random part of a pause in seconds; for the parameters, see `pause_after`."""
    return uniform(0, min(longest, first * 2 ** min(failures - 1, 30)))


def policy(request: Request, first_pause: float = FIRST_PAUSE, attempts: int = ATTEMPTS) -> dict[str, Any]:
    """Return the arguments for tenacity's `Retrying` that repeat a failed request by the rules of this module.

    :param first_pause: the bound of the pause after the first failure, in seconds.
    :param attempts: how often the request is sent at most.
    """

    def is_worth_it(error: BaseException) -> bool:
        return may_repeat(request, error) and asked(error) <= MAX_PAUSE

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return pause_after(state.attempt_number, error, first=first_pause)

    return {
        "retry": retry_if_exception(is_worth_it),
        "wait": pause,
        "stop": stop_after_attempt(attempts),
        "reraise": True,
    }


def asked(error: BaseException | None) -> float:
    """Return the seconds that the host asked to wait (``Retry-After``); 0 if it did not."""
    if isinstance(error, WhiteRabbitResponseError | WhiteRabbitTransportError):
        return error.retry_after or 0.0
    return 0.0
