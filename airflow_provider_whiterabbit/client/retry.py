"""What may be sent again, and after how long. No I/O and no clock: the callers bring theirs.

A request has three outcomes besides success. *Never sent*: it failed before its first byte was written. *Refused*: a
4xx other than 408. *Uncertain*: everything else. A POST moves money, so only what was never sent, or answered 429, is
sent again; what is idempotent is also repeated when the outcome is uncertain.
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
    WhiteRabbitServerError,
    WhiteRabbitTransportError,
)

ATTEMPTS = 5
"""How often a single call tries, the first time included. Waits go on until their deadline instead."""

FIRST_PAUSE = 0.5
"""Seconds; upper bound of the first pause, doubled with every further failure."""

LONGEST_PAUSE = 20.0
"""Seconds; a call that is asked to wait longer than that gives up. To others it adds some of its own pause."""

_REQUEST_TIMEOUT = 408


def is_transient(error: BaseException) -> bool:
    """Whether a later attempt may well fare better: trouble on the way, too many requests, trouble on their side."""
    if isinstance(error, WhiteRabbitResponseError):
        return isinstance(error, WhiteRabbitRateLimitError | WhiteRabbitServerError) or error.status == _REQUEST_TIMEOUT
    return isinstance(error, WhiteRabbitTransportError)


def may_repeat(request: Request, error: BaseException) -> bool:
    """Whether a failed request may be sent again without the risk of doing its work twice."""
    if isinstance(error, WhiteRabbitRateLimitError):
        return True
    if isinstance(error, WhiteRabbitTransportError) and not error.sent:
        return True
    return request.idempotent and is_transient(error)


def is_uncertain(error: BaseException) -> bool:
    """Whether a submission that failed like this may have reached White Rabbit all the same."""
    if isinstance(error, WhiteRabbitResponseError):
        return not 400 <= error.status < 500 or error.status == _REQUEST_TIMEOUT
    return not (isinstance(error, WhiteRabbitTransportError) and not error.sent)


def pause_after(
    failures: int,
    error: BaseException | None,
    longest: float = LONGEST_PAUSE,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return how many seconds to wait before the next attempt.

    Full jitter: anything between nothing and a bound that doubles, so that many waits that failed together do not come
    back together. A ``Retry-After`` is honoured on top of it.

    :param failures: how many attempts have failed in a row, from 1.
    :param longest: highest bound of the jitter, in seconds.
    """
    bound = min(longest, FIRST_PAUSE * 2 ** min(failures - 1, 30))
    return asked(error) + uniform(0, bound)


def policy(request: Request) -> dict[str, Any]:
    """Return the arguments for tenacity's `Retrying` that repeat one request by these rules."""

    def worth_it(error: BaseException) -> bool:
        return may_repeat(request, error) and asked(error) <= LONGEST_PAUSE

    def wait(state: RetryCallState) -> float:
        return pause_after(state.attempt_number, state.outcome.exception() if state.outcome else None)

    return {
        "retry": retry_if_exception(worth_it),
        "wait": wait,
        "stop": stop_after_attempt(ATTEMPTS),
        "reraise": True,
    }


def asked(error: BaseException | None) -> float:
    """Return how many seconds the server asked to wait."""
    return (error.retry_after or 0.0) if isinstance(error, WhiteRabbitResponseError) else 0.0
