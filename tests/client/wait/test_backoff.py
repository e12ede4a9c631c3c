"""`Backoff`: how long a wait pauses after failures, and without any."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_whiterabbit.client.wait.backoff import Backoff
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitRateLimitError,
    WhiteRabbitTransportError,
)

RESET = WhiteRabbitTransportError("connection reset")


def backoff(
    poll_interval: float = 30.0,
    timing: Timing = Timing(),  # noqa: B008 (frozen)
    clock: Callable[[], float] | None = None,
) -> Backoff:
    """Return a back-off whose random pauses are always the longest possible ones."""
    return Backoff(poll_interval, timing, lambda _, upper: upper, clock or (lambda: 0.0))


def limited(retry_after: float) -> WhiteRabbitRateLimitError:
    """Return the error of a server that asks to wait so many seconds."""
    return WhiteRabbitRateLimitError(429, "GET", "/p", retry_after=retry_after)


def pauses_after(failing: Backoff, count: int) -> list[float]:
    """Return the pauses after so many failures in a row."""
    pauses = []
    for _ in range(count):
        failing.count(RESET)
        pauses.append(failing.next_pause())
    return pauses


def test_pause_without_a_failure() -> None:
    """Without a failure the pause is the poll interval."""
    unused = backoff(12.0)
    assert [unused.next_pause() for _ in range(3)] == [12.0, 12.0, 12.0]


@pytest.mark.parametrize("poll_interval", [-5.0, 0.0, 0.5])
def test_shortest_poll_interval(poll_interval: float) -> None:
    """A poll interval below `min_poll_interval` is raised to it."""
    assert backoff(poll_interval).poll_interval == 1.0
    assert backoff(poll_interval, Timing(min_poll_interval=7.0)).next_pause() == 7.0


def test_pauses_double_up_to_the_poll_interval() -> None:
    """The upper bound of the pause begins with `first_pause` and doubles with each failure, up to the poll interval."""
    assert pauses_after(backoff(10.0), 7) == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert pauses_after(backoff(10.0, Timing(first_pause=3.0)), 3) == [3.0, 6.0, 10.0]


def test_pauses_are_random() -> None:
    """The pause is a random number between 0 and the bound."""
    bounds: list[tuple[float, float]] = []

    def uniform(lower: float, upper: float) -> float:
        bounds.append((lower, upper))
        return 0.125

    random_backoff = Backoff(30.0, Timing(), uniform, lambda: 0.0)
    random_backoff.count(RESET)
    assert random_backoff.next_pause() == 0.125
    assert bounds == [(0, 0.5)]


def test_several_failures_before_one_pause() -> None:
    """Several failures before one pause all count, and they are followed by a single pause."""
    failing = backoff()
    for _ in range(3):
        failing.count(RESET)
    assert failing.next_pause() == 2.0
    assert failing.next_pause() == 30.0


def test_pause_forgets_the_error_and_keeps_the_count() -> None:
    """After a pause `error` is None, and the next failure still counts as one more in a row."""
    failing = backoff()
    failing.count(RESET)
    assert (failing.error, failing.failures) == (RESET, 1)
    failing.next_pause()
    assert (failing.error, failing.failures) == (None, 1)
    failing.count(RESET)
    assert failing.next_pause() == 1.0


def test_reset() -> None:
    """After `reset`, the next failure counts as the first one in a row."""
    failing = backoff()
    pauses_after(failing, 5)
    failing.reset()
    assert pauses_after(failing, 2) == [0.5, 1.0]


def test_reset_between_a_failure_and_its_pause() -> None:
    """A `reset` after a failure forgets the failure and its `Retry-After`: all is well again."""
    failing = backoff()
    for _ in range(5):
        failing.count(limited(70.0))
    failing.reset()
    assert (failing.error, failing.asked, failing.next_pause()) == (None, 0.0, 30.0)


def test_a_retry_after_ends() -> None:
    """A `Retry-After` counts from the answer that has it: hours later, it does not delay anything."""
    now = [0.0]
    failing = backoff(clock=lambda: now[0])
    failing.count(limited(70.0))
    now[0] = 50.0
    failing.count(RESET)
    assert (failing.asked, failing.next_pause()) == (20.0, 20.0 + 1.0)
    now[0] = 7200.0
    failing.count(RESET)
    assert (failing.asked, failing.next_pause()) == (0.0, 2.0)


def test_a_retry_after_that_is_left_delays_a_poll() -> None:
    """A pause without a failure before it ends no earlier than a `Retry-After`."""
    failing = backoff(10.0)
    failing.count(limited(70.0))
    failing.next_pause()
    assert failing.next_pause() == 70.0


@pytest.mark.parametrize("errors", [[limited(7.0), limited(3.0), RESET], [RESET, limited(3.0), limited(7.0)]])
def test_longest_retry_after_decides(errors: list[WhiteRabbitTransportError]) -> None:
    """Of several errors before one pause, the longest `Retry-After` counts, and the last error is kept."""
    failing = backoff()
    for error in errors:
        failing.count(error)
    assert failing.error is errors[-1]
    assert failing.next_pause() == 7.0 + 2.0


def test_longest_pause() -> None:
    """A `Retry-After` beyond `max_retry_after` is cut to it; the random part is added, or all would come at once."""
    failing = backoff()
    failing.count(limited(86_400.0))
    assert failing.next_pause() == 300.5
    short = backoff(timing=Timing(max_retry_after=2.0))
    short.count(limited(5.0))
    assert short.next_pause() == 2.5
