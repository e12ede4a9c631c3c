"""What may be sent again, what is uncertain, and how long to wait: the tables, and the policy as tenacity runs it."""

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
AGAIN = Request("POST", "/v1/sdk/components/executions/1/replay-callback", b"{}", idempotent=True)


def answered(status: int) -> Exception:
    return error_of(POST, Response(status, {}, b"", 0.0))


UNSENT = WhiteRabbitTransportError("connection refused", sent=False)
CUT = WhiteRabbitTransportError("connection reset")

# error; is it transient; may a POST be repeated; may what is idempotent be repeated; is a submission uncertain
OUTCOMES = [
    *((answered(status), False, False, False, False) for status in (400, 401, 402, 403, 404, 405, 409, 410, 413, 422)),
    (answered(408), True, False, True, True),
    (answered(429), True, True, True, False),
    *((answered(status), True, False, True, True) for status in (500, 501, 502, 503, 504, 520, 599)),
    *((answered(status), False, False, False, True) for status in (100, 301, 302, 304, 307, 308)),
    (UNSENT, True, True, True, False),
    (CUT, True, False, True, True),
    (WhiteRabbitStreamError("silent"), False, False, False, True),
    (WhiteRabbitProtocolError("unknown"), False, False, False, True),
    (WhiteRabbitInputError("refused"), False, False, False, True),
    (KeyboardInterrupt(), False, False, False, True),
    (ValueError("a bug"), False, False, False, True),
]


@pytest.mark.parametrize(
    ("error", "transient", "post", "idempotent", "uncertain"), OUTCOMES, ids=lambda value: str(value).split(" to ")[0]
)
def test_the_table_of_outcomes(error: BaseException, transient: bool, post: bool, idempotent: bool, uncertain: bool):
    """Each way to fail is repeated where that is safe and useful, and a submission is certain only where it is."""
    assert retry.is_transient(error) is transient
    assert retry.may_repeat(POST, error) is post
    assert retry.may_repeat(GET, error) is idempotent
    assert retry.may_repeat(AGAIN, error) is idempotent
    assert retry.is_uncertain(error) is uncertain


@pytest.mark.parametrize("error", [row[0] for row in OUTCOMES], ids=lambda value: str(value).split(" to ")[0])
def test_what_is_uncertain_is_never_repeated(error: BaseException):
    """Nothing that may have reached the server is sent twice, unless that does no more than sending it once."""
    assert not (retry.is_uncertain(error) and retry.may_repeat(POST, error))


def highest(_: float, bound: float) -> float:
    return bound


@pytest.mark.parametrize(
    ("failures", "bound"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 20.0), (8, 20.0), (10_000, 20.0)]
)
def test_pauses_double_up_to_a_bound(failures: int, bound: float):
    """The bound of a pause doubles with each failure until the longest pause, and pauses start at nothing."""
    assert retry.pause_after(failures, CUT, uniform=highest) == bound
    assert retry.pause_after(failures, CUT, uniform=lambda least, _: least) == 0.0
    assert retry.pause_after(failures, None, longest=3.0, uniform=highest) == min(bound, 3.0)


def test_pauses_are_spread_over_the_whole_bound():
    """Many that failed together come back spread over the whole pause, not together."""
    uniform = random.Random(3).uniform  # noqa: S311
    pauses = sorted(retry.pause_after(4, CUT, uniform=uniform) for _ in range(1000))
    assert 0 <= pauses[0] < 0.1
    assert 3.9 < pauses[-1] <= 4.0
    assert pauses[500] == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize("kind", [WhiteRabbitRateLimitError, WhiteRabbitServerError])
def test_retry_after_comes_before_the_jitter(kind: Any):
    """What the server asks to wait is waited in full, with the jitter on top, whatever the longest pause is."""
    error = kind(429, "GET", "/p", retry_after=60.0)
    assert retry.pause_after(1, error, uniform=lambda least, _: least) == 60.0
    assert retry.pause_after(1, error, longest=1.0, uniform=highest) == 60.5


class Calls:
    """A call that fails with each of these errors in turn and then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.slept: list[float] = []
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def run(self, request: Request) -> str:
        return Retrying(sleep=self.slept.append, **retry.policy(request))(self)


def test_a_call_that_works_is_made_once():
    """What succeeds at once is neither repeated nor delayed."""
    calls = Calls()
    assert calls.run(GET) == "done"
    assert (calls.count, calls.slept) == (1, [])


@pytest.mark.parametrize("request_", [GET, AGAIN], ids=["GET", "idempotent POST"])
def test_transient_failures_are_repeated(request_: Request):
    """What is idempotent is repeated over every transient failure, with a growing pause before each attempt."""
    calls = Calls(UNSENT, answered(503), CUT, answered(408))
    assert calls.run(request_) == "done"
    assert calls.count == 5
    assert all(0 <= pause <= 0.5 * 2**at for at, pause in enumerate(calls.slept))


def test_attempts_are_bounded():
    """After the last attempt the last error itself is raised, without another pause."""
    errors = [WhiteRabbitServerError(500 + n, "GET", "/p") for n in range(9)]
    calls = Calls(*errors)
    with pytest.raises(WhiteRabbitServerError) as raised:
        calls.run(GET)
    assert raised.value is errors[retry.ATTEMPTS - 1]
    assert (calls.count, len(calls.slept)) == (retry.ATTEMPTS, retry.ATTEMPTS - 1)


@pytest.mark.parametrize("error", [CUT, answered(500), answered(504), answered(408), answered(400), answered(302)])
def test_a_submission_is_sent_once(error: Exception):
    """A submission that may have arrived, or was refused, is not sent again."""
    calls = Calls(error)
    with pytest.raises(type(error)):
        calls.run(POST)
    assert (calls.count, calls.slept) == (1, [])


def test_a_submission_that_was_never_sent_is_repeated():
    """A submission is sent again after 429 and after a connection that never was, and stops at what is uncertain."""
    calls = Calls(UNSENT, answered(429), CUT, answered(429))
    with pytest.raises(WhiteRabbitTransportError) as raised:
        calls.run(POST)
    assert raised.value is CUT
    assert calls.count == 3


@pytest.mark.parametrize(("asked", "count"), [(0.0, 2), (19.0, 2), (20.0, 2), (20.5, 1), (3600.0, 1)])
@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
def test_a_long_retry_after_is_for_the_caller(asked: float, count: int, request_: Request):
    """A single call waits as long as the server asks, unless that is longer than a call may take: then it fails."""
    calls = Calls(WhiteRabbitRateLimitError(429, "GET", "/p", retry_after=asked))
    if count == 1:
        with pytest.raises(WhiteRabbitRateLimitError):
            calls.run(request_)
    else:
        assert calls.run(request_) == "done"
        assert asked <= calls.slept[0] <= asked + 0.5
    assert calls.count == count
