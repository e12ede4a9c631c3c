"""Retries: which requests are sent again, which outcomes are uncertain, and how long the pauses are."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tenacity import Retrying

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.wire.answers import error_of
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitInputError,
    WhiteRabbitProtocolError,
    WhiteRabbitRateLimitError,
    WhiteRabbitServerError,
    WhiteRabbitStreamError,
    WhiteRabbitTransportError,
)

GET = Request("GET", "/v1/sdk/components/executions/1", idempotent=True)
POST = Request("POST", "/v1/sdk/components", b"{}")
IDEMPOTENT_POST = Request("POST", "/v1/sdk/components/executions/1/replay-callback", b"{}", idempotent=True)


def answered(status: int) -> Exception:
    """Return the error of a POST that the API answered with this status."""
    return error_of(POST, Response(status, {}, b'{"code": "NO", "message": "no"}', 0.0))


def page(status: int) -> Exception:
    """Return the error of a POST that something else answered, such as a proxy."""
    return error_of(POST, Response(status, {"content-type": "text/html"}, b"<html>maintenance</html>", 0.0))


NEVER_SENT = WhiteRabbitTransportError("connection refused", sent=False)
RESET = WhiteRabbitTransportError("connection reset")

# error; is it transient; may a POST be repeated; may an idempotent request be repeated; is a submission uncertain
OUTCOMES = [
    *((answered(status), False, False, False, False) for status in (400, 401, 402, 403, 404, 405, 409, 410, 413, 422)),
    (answered(408), True, False, True, True),
    (answered(425), True, False, True, False),
    (answered(429), True, True, True, False),
    *((answered(status), True, False, True, True) for status in (500, 501, 502, 503, 504, 520, 599)),
    *((answered(status), True, False, True, True) for status in (100, 301, 302, 304, 307, 308)),
    *((page(status), True, False, True, False) for status in (400, 401, 403, 404, 405, 407, 409, 422, 425, 451)),
    *((page(status), True, False, True, True) for status in (302, 307, 408, 500, 502, 503)),
    (page(429), True, True, True, False),
    (NEVER_SENT, True, True, True, False),
    (RESET, True, False, True, True),
    (WhiteRabbitStreamError("silent"), False, False, False, True),
    (WhiteRabbitProtocolError("unknown"), False, False, False, True),
    (WhiteRabbitInputError("refused"), False, False, False, True),
    (KeyboardInterrupt(), False, False, False, True),
    (ValueError("a bug"), False, False, False, True),
]


@pytest.mark.parametrize(
    ("error", "transient", "post", "idempotent", "uncertain"), OUTCOMES, ids=lambda value: str(value).split(" to ")[0]
)
def test_outcomes(error: BaseException, transient: bool, post: bool, idempotent: bool, uncertain: bool) -> None:
    """Each error is transient, may be repeated, and leaves a submission uncertain exactly as the table says."""
    assert retry.is_transient(error) is transient
    assert retry.may_repeat(POST, error) is post
    assert retry.may_repeat(GET, error) is idempotent
    assert retry.may_repeat(IDEMPOTENT_POST, error) is idempotent
    assert retry.is_uncertain(error) is uncertain


@pytest.mark.parametrize("error", [row[0] for row in OUTCOMES], ids=lambda value: str(value).split(" to ")[0])
def test_uncertain_submissions_are_never_repeated(error: BaseException) -> None:
    """A submission whose outcome is uncertain is never sent again."""
    assert not (retry.is_uncertain(error) and retry.may_repeat(POST, error))


def upper(_: float, bound: float) -> float:
    """Return the upper bound, in place of a random number."""
    return bound


def lower(bound: float, _: float) -> float:
    """Return the lower bound, in place of a random number."""
    return bound


@pytest.mark.parametrize(
    ("failures", "bound"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 20.0), (8, 20.0), (10_000, 20.0)]
)
def test_pauses_double_up_to_a_bound(failures: int, bound: float) -> None:
    """The upper bound of a pause doubles with each failure, up to the longest pause; the lower bound is 0."""
    assert retry.pause_after(failures, RESET, uniform=upper) == bound
    assert retry.pause_after(failures, RESET, uniform=lower) == 0.0
    assert retry.pause_after(failures, None, longest=3.0, uniform=upper) == min(bound, 3.0)


def test_pauses_are_spread_over_the_whole_bound() -> None:
    """Pauses after the same number of failures are spread evenly between 0 and the upper bound."""
    uniform = random.Random(3).uniform  # noqa: S311
    pauses = sorted(retry.pause_after(4, RESET, uniform=uniform) for _ in range(1000))
    assert 0 <= pauses[0] < 0.1
    assert 3.9 < pauses[-1] <= 4.0
    assert pauses[500] == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize("kind", [WhiteRabbitRateLimitError, WhiteRabbitServerError])
def test_retry_after_is_added_to_the_jitter(kind: Any) -> None:
    """The pause is the whole `Retry-After` plus the random part, also where that exceeds the longest pause."""
    error = kind(429, "GET", "/p", retry_after=60.0)
    assert retry.pause_after(1, error, uniform=lower) == 60.0
    assert retry.pause_after(1, error, longest=1.0, uniform=upper) == 60.5


class Calls:
    """A function that raises each of these errors in turn, and then returns ``done``."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.slept: list[float] = []
        self.count = 0

    def __call__(self) -> str:
        """Raise the next error, or return ``done``."""
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def run(self, request: Request) -> str:
        """Call it as often as the policy for the request allows."""
        return Retrying(sleep=self.slept.append, **retry.policy(request))(self)


def test_a_success_is_not_repeated() -> None:
    """A call that succeeds is made once, without a pause."""
    calls = Calls()
    assert calls.run(GET) == "done"
    assert (calls.count, calls.slept) == (1, [])


@pytest.mark.parametrize("request_", [GET, IDEMPOTENT_POST], ids=["GET", "idempotent POST"])
def test_transient_failures_are_repeated(request_: Request) -> None:
    """An idempotent request is repeated after each transient failure, after pauses whose bound doubles."""
    calls = Calls(NEVER_SENT, answered(503), RESET, answered(408))
    assert calls.run(request_) == "done"
    assert calls.count == 5
    assert all(0 <= pause <= 0.5 * 2**at for at, pause in enumerate(calls.slept))


def test_attempts_are_bounded() -> None:
    """After the last attempt, the last error itself is raised without another pause."""
    errors = [WhiteRabbitServerError(500 + n, "GET", "/p") for n in range(9)]
    calls = Calls(*errors)
    with pytest.raises(WhiteRabbitServerError) as raised:
        calls.run(GET)
    assert raised.value is errors[retry.ATTEMPTS - 1]
    assert (calls.count, len(calls.slept)) == (retry.ATTEMPTS, retry.ATTEMPTS - 1)


@pytest.mark.parametrize("error", [RESET, answered(500), answered(504), answered(408), answered(400), answered(302)])
def test_a_submission_is_sent_once(error: Exception) -> None:
    """A submission that may have arrived, or that was refused, is not sent again."""
    calls = Calls(error)
    with pytest.raises(type(error)):
        calls.run(POST)
    assert (calls.count, calls.slept) == (1, [])


def test_a_submission_that_was_never_sent_is_repeated() -> None:
    """A submission is sent again after a 429 and after a failed connection, until an outcome is uncertain."""
    calls = Calls(NEVER_SENT, answered(429), RESET, answered(429))
    with pytest.raises(WhiteRabbitTransportError) as raised:
        calls.run(POST)
    assert raised.value is RESET
    assert calls.count == 3


@pytest.mark.parametrize(("asked", "count"), [(0.0, 2), (19.0, 2), (20.0, 2), (20.5, 1), (3600.0, 1)])
@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
def test_long_retry_after(asked: float, count: int, request_: Request) -> None:
    """A call waits for a `Retry-After` of at most 20 s, and fails at once if the server asks for longer."""
    calls = Calls(WhiteRabbitRateLimitError(429, "GET", "/p", retry_after=asked))
    if count == 1:
        with pytest.raises(WhiteRabbitRateLimitError):
            calls.run(request_)
    else:
        assert calls.run(request_) == "done"
        assert asked <= calls.slept[0] <= asked + 0.5
    assert calls.count == count
