"""The follower with servers that fail in any order: it reports the end once, soon, never early, with few requests."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.client.wait.commands import Get, Open
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import WhiteRabbitTimeoutError
from tests.client.properties import examples
from tests.client.wait.simulation import (
    EPOCH,
    FAILED_STREAMS,
    ID,
    SERVERS,
    SimulatedServer,
    run_follow,
    run_follow_until,
)


@given(server=SERVERS, whole_record=st.booleans(), seed=st.integers(0, 1000))
@examples(400)
def test_the_end_is_never_reported_early(server: SimulatedServer, whole_record: bool, seed: int) -> None:
    """A wait without a deadline ends with the final status of the execution, and not before it."""
    ended = run_follow(server, whole_record=whole_record, uniform=random.Random(seed).uniform)  # noqa: S311
    assert ended.id == ID
    assert ended.status == server.final_status
    assert server.now >= EPOCH + server.ends
    if whole_record:
        assert isinstance(ended, Execution)
        assert ended.output == {"a": 1}


@given(server=SERVERS, whole_record=st.booleans(), seed=st.integers(0, 1000))
@examples(400)
def test_the_end_is_noticed_soon(server: SimulatedServer, whole_record: bool, seed: int) -> None:
    """After the failures, an end is noticed within a poll interval, a silence and a few answers."""
    run_follow(server, whole_record=whole_record, uniform=random.Random(seed).uniform)  # noqa: S311
    failures = 300 * 28  # each scripted failure may be a request that hangs for 300 s
    assert server.now <= EPOCH + server.ends + failures + 30 + Timing().silence + 5 * 300


@given(server=SERVERS, seed=st.integers(0, 1000))
@examples(300)
def test_commands_are_few(server: SimulatedServer, seed: int) -> None:
    """The number of commands is bounded for each 15 seconds of the wait, whatever the server does."""
    run_follow(server, uniform=random.Random(seed).uniform)  # noqa: S311
    duration = server.now - EPOCH
    assert len(server.commands) <= 150 + 12 * duration / 15


@pytest.mark.parametrize(
    "stream", ["closes", "breaks", "malformed event", "event of another id", "unknown status", *FAILED_STREAMS]
)
@pytest.mark.parametrize("record", ["ok", "unavailable"])
def test_a_stream_that_never_recovers(stream: str, record: str) -> None:
    """During hours of the same failure a wait sends at most 20 requests a minute, and still notices the end."""
    server = SimulatedServer(later_streams=stream, records=[record] * 100_000, ends=20_000, latency=0.001)
    result = run_follow_until(server, EPOCH + 21_600)
    assert isinstance(result, WhiteRabbitTimeoutError) is (record == "unavailable")
    assert len(server.times_of(Get)) + len(server.times_of(Open)) <= 21_600 / 60 * 20
