"""The follower at its deadline: it reads the record a last time, and gives up in time with a message."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.wait.commands import Get
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import WhiteRabbitTimeoutError
from tests.client.properties import examples
from tests.client.wait.simulation import EPOCH, ID, SERVERS, SimulatedServer, run_follow, run_follow_until

FINAL_READ = Timing().final_read


@given(server=SERVERS, whole_record=st.booleans(), seed=st.integers(0, 1000), within=st.floats(-10, 1500))
@examples(400)
def test_a_deadline_is_kept(server: SimulatedServer, whole_record: bool, seed: int, within: float) -> None:
    """At the deadline a wait has read the record, and returns an end that it saw or gives up, without delay."""
    deadline = EPOCH + within
    uniform = random.Random(seed).uniform  # noqa: S311
    result = run_follow_until(server, deadline, whole_record=whole_record, uniform=uniform)
    if isinstance(result, WhiteRabbitTimeoutError):
        assert server.now >= deadline - 0.001
        assert ID in str(result)
        assert isinstance(server.commands[-1][1], Get)
        assert server.last_record in ("failed", "lags", "paused", "CREATED", "EXECUTING")
    else:
        assert result.status == server.final_status
        assert server.now >= EPOCH + server.ends
    assert server.times_of(Get)
    assert server.now <= max(deadline, EPOCH) + 2 * FINAL_READ + 0.001


def test_a_read_beside_the_stream_does_not_delay_the_deadline() -> None:
    """A read of the record that hangs while the stream lives ends with the deadline."""
    server = SimulatedServer(records=["ok", "hangs"], ends=2000)
    assert isinstance(run_follow_until(server, EPOCH + 926), WhiteRabbitTimeoutError)
    assert server.now <= EPOCH + 926 + FINAL_READ


@pytest.mark.parametrize("within", [0.5, 1.0, 3.0])
def test_a_stream_that_hangs_does_not_delay_the_deadline(within: float) -> None:
    """A stream that hangs while it is opened does not delay the deadline; only the final read comes after it."""
    server = SimulatedServer(later_streams="hangs", records=["hangs"] * 9, ends=math.inf)
    with pytest.raises(WhiteRabbitTimeoutError):
        run_follow(server, deadline=EPOCH + within)
    assert server.now <= EPOCH + within + FINAL_READ


def test_a_deadline_in_the_past() -> None:
    """A wait that begins after its deadline reads the record once, and returns an end if there is one."""
    server = SimulatedServer(ends=math.inf)
    with pytest.raises(WhiteRabbitTimeoutError, match="its last known status is CREATED"):
        run_follow(server, deadline=EPOCH - 1000)
    assert [type(command) for _, command in server.commands] == [Get]
    assert run_follow(SimulatedServer(ends=0), deadline=EPOCH - 1000).status == "COMPLETED"


def test_the_message_of_a_timeout() -> None:
    """The timeout names the last known status and the deadline, or the failure that hid the status."""
    with pytest.raises(WhiteRabbitTimeoutError, match=r"2026-04-20 10:01:40.*its last known status is EXECUTING"):
        run_follow(SimulatedServer(ends=math.inf), deadline=EPOCH + 100)
    server = SimulatedServer(executing=math.inf, ends=math.inf, records=["unavailable"] * 99)
    with pytest.raises(WhiteRabbitTimeoutError, match=r"could not be read .* \(the last failure: .* answered 503"):
        run_follow(server, deadline=EPOCH + 10)


@pytest.mark.parametrize("deadline", [-1e12, -math.inf, -62135596800.0 - 3600])
def test_a_deadline_beyond_the_calendar(deadline: float) -> None:
    """A deadline that no calendar has is a time-out like any other."""
    with pytest.raises(WhiteRabbitTimeoutError, match=r"Unix time -|0001"):
        run_follow(SimulatedServer(ends=math.inf), deadline=deadline)
