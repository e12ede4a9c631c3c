"""The follower: the order of its commands, how it survives failures, and when it polls."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent
from airflow_provider_whiterabbit.client.records.glance import Glance
from airflow_provider_whiterabbit.client.records.status import ExecutionStatus
from airflow_provider_whiterabbit.client.wait.commands import Close, Get, Open, Read
from airflow_provider_whiterabbit.client.wait.follower import follow
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitAuthenticationError,
    WhiteRabbitError,
    WhiteRabbitNotFoundError,
    WhiteRabbitPermissionError,
    WhiteRabbitProtocolError,
)
from tests.client.wait.simulation import (
    EPOCH,
    ID,
    OTHER_ID,
    PING_INTERVAL,
    REFUSED_STREAMS,
    SimulatedServer,
    run_follow,
    run_follow_until,
)

TIMING = Timing()

# --- the stream, and the record


@pytest.mark.parametrize("whole_record", [False, True])
def test_an_end_while_the_stream_is_opened(whole_record: bool) -> None:
    """An execution that ends while the stream is being opened is noticed by the read of the record that follows."""
    server = SimulatedServer(ends=0.0, latency=1.0, later_streams="silent")
    ended = run_follow(server, whole_record=whole_record)
    assert isinstance(ended, Execution if whole_record else Glance)
    assert [type(command) for _, command in server.commands] == [Open, Get]


def test_the_stream_is_opened_before_the_record_is_read() -> None:
    """Every time, the follower opens the stream first and reads the record second."""
    server = SimulatedServer(streams=["closes"] * 20, ends=500)
    run_follow(server)
    kinds = [type(command) for _, command in server.commands if isinstance(command, Open | Get | Read)]
    assert kinds[:3] == [Open, Get, Read]
    assert all(kinds[at + 1 : at + 3] == [Get, Read] for at, kind in enumerate(kinds[:-3]) if kind is Open)


def test_a_terminal_event_ends_the_wait() -> None:
    """A terminal event is returned without another request if `whole_record` is False."""
    server = SimulatedServer(ends=100)
    event = run_follow(server)
    assert isinstance(event, ExecutionEvent)
    assert (event.status, len(server.times_of(Get)), server.now) == (ExecutionStatus.COMPLETED, 1, EPOCH + 100)


def test_whole_record_after_a_terminal_event() -> None:
    """With `whole_record`, the follower closes the stream after a terminal event, and reads the record once more."""
    server = SimulatedServer(ends=100, final_status="FAILED")
    record = run_follow(server, whole_record=True)
    assert isinstance(record, Execution)
    assert record.status is ExecutionStatus.FAILED
    assert [type(command) for _, command in server.commands[-2:]] == [Close, Get]


def test_a_record_that_is_behind_its_event() -> None:
    """A record that is not terminal although an event was is read again until it is terminal."""
    server = SimulatedServer(ends=100, lag=3.0)
    record = run_follow(server, whole_record=True)
    assert isinstance(record, Execution)
    assert EPOCH + 103 <= server.now <= EPOCH + 115


def test_silence_is_as_long_as_three_pings() -> None:
    """A stream may be silent for three ping intervals; after that, the follower reads the record."""
    server = SimulatedServer(streams=["silent"], ends=1000)
    run_follow(server)
    silences = [command.silence for _, command in server.commands if isinstance(command, Read)]
    assert set(silences) == {3 * PING_INTERVAL}
    assert server.times_of(Get)[1] == pytest.approx(TIMING.silence, abs=1)


def test_a_stream_that_a_proxy_closes_again_and_again() -> None:
    """A stream that is closed after it was stable is opened again soon, because that is no outage."""
    server = SimulatedServer(later_streams="closes after 50 s", ends=3600)
    run_follow(server)
    opens = server.times_of(Open)
    assert 3600 / 52 - 5 <= len(opens) <= 3600 / 50 + 5


def test_a_stream_with_pings_and_no_end() -> None:
    """An end that a living stream does not send is noticed within an hour by a read of the record."""
    server = SimulatedServer(ends=100, later_streams="only pings")
    assert run_follow(server).status == "COMPLETED"
    assert server.now < EPOCH + 3600
    assert len(server.times_of(Open)) == 1


# --- polling


@pytest.mark.parametrize("refusal", REFUSED_STREAMS)
def test_a_refused_stream_leads_to_polling(refusal: str, caplog: pytest.LogCaptureFixture) -> None:
    """If the stream is refused, the record is read at the poll interval, and one warning is logged."""
    server = SimulatedServer(later_streams=refusal, ends=95, latency=0.0)
    assert run_follow(server, poll_interval=10.0).status == "COMPLETED"
    assert server.times_of(Open) == [0]
    assert server.times_of(Get) == [10.0 * n for n in range(11)]
    assert [record.levelname for record in caplog.records if "polling every 10 s" in record.getMessage()] == ["WARNING"]


def test_polling_survives_an_outage() -> None:
    """During an outage, polling pauses for at most the poll interval; after it, polling keeps to the interval again."""
    server = SimulatedServer(
        later_streams="stream 404", records=["ok", *["unavailable"] * 30, "ok"], ends=900, latency=0.0
    )
    run_follow(server, poll_interval=10.0)
    pauses = [later - earlier for earlier, later in pairwise(server.times_of(Get))]
    assert max(pauses) <= 10.001
    assert pauses[-5:] == pytest.approx([10.0] * 5)


def test_a_refused_stream_is_opened_again_later() -> None:
    """A stream that was refused once is opened again after `retry_stream_after`, and not earlier."""
    server = SimulatedServer(streams=["stream 404"], ends=2000, latency=0.0)
    assert isinstance(run_follow(server, poll_interval=10.0), ExecutionEvent)
    [first, second, *_] = server.times_of(Open)
    assert TIMING.retry_stream_after <= second - first <= TIMING.retry_stream_after + 10


@pytest.mark.parametrize("poll_interval", [0.0, -5.0, 0.001])
def test_polling_is_never_a_hot_loop(poll_interval: float) -> None:
    """The record is read at most once a second, whatever the poll interval."""
    server = SimulatedServer(later_streams="stream 404", ends=100, latency=0.0)
    run_follow(server, poll_interval=poll_interval)
    assert min(later - earlier for earlier, later in pairwise(server.times_of(Get))) >= 0.999


# --- Retry-After


@pytest.mark.parametrize(
    ("records", "streams"),
    [(["ok"], ["limited"]), (["limited"], ["limited"]), (["unavailable"], ["limited"]), (["limited"], ["closes"])],
    ids=["stream", "both", "stream, and no record", "record, and the stream closes"],
)
def test_retry_after_is_honoured(records: list[str], streams: list[str]) -> None:
    """The next stream is opened no earlier than a `Retry-After` of stream or record says, whatever else failed."""
    server = SimulatedServer(records=records, streams=streams)
    run_follow(server)
    [first, second, *_] = server.times_of(Open)
    assert second - first >= 7.0


def test_retry_after_is_bounded() -> None:
    """The follower pauses for at most `max_retry_after` seconds although the server asks for a day."""
    server = SimulatedServer(streams=["limited for a day"], ends=math.inf)
    run_follow_until(server, EPOCH + 4 * TIMING.max_retry_after)
    [first, second, *_] = server.times_of(Open)
    assert TIMING.max_retry_after <= second - first <= TIMING.max_retry_after + 5


# --- records that end the wait with an error


@pytest.mark.parametrize(
    "error",
    [
        WhiteRabbitAuthenticationError(401, "GET", "/p"),
        WhiteRabbitPermissionError(403, "GET", "/p"),
        WhiteRabbitNotFoundError(404, "GET", "/p"),
    ],
    ids=lambda error: str(error.status),
)
def test_a_refused_record_ends_the_wait(error: WhiteRabbitError) -> None:
    """A refused key, a missing permission and an unknown execution end the wait at once with their own error."""
    steps = follow(EXECUTION.followed(ID), clock=lambda: EPOCH)
    assert isinstance(next(steps), Open)
    assert isinstance(steps.throw(error), Get)
    with pytest.raises(type(error)) as raised:
        steps.throw(error)
    assert raised.value is error


@pytest.mark.parametrize(
    "record", [{"id": ID, "status": "PAUSED"}, {"id": ID}, {"id": OTHER_ID, "status": "COMPLETED"}, {}, [], None]
)
def test_an_unknown_glance_ends_the_wait(record: Any) -> None:
    """If only id and status are read, an unknown status or another id ends the wait at once with an error."""
    steps = follow(EXECUTION.followed(ID), clock=lambda: EPOCH)
    next(steps)
    get = steps.send(None)
    assert isinstance(get, Get)
    assert get.wanted == ("id", "status")
    with pytest.raises(WhiteRabbitProtocolError):
        steps.send(record)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": ID, "status": "PAUSED"}, "PAUSED"),
        ({"id": ID}, "None"),
        ({"id": ID, "status": "COMPLETED"}, "'output' is missing"),
        ({"id": OTHER_ID, "status": "COMPLETED", "output": 1}, OTHER_ID),
        ([], "list"),
        (None, "NoneType"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unknown_record_ends_the_wait(record: Any, message: str) -> None:
    """A record that is not as documented, or has another id, ends the wait at once with an error."""
    steps = follow(EXECUTION.followed(ID), whole_record=True, clock=lambda: EPOCH)
    assert isinstance(next(steps), Open)
    assert isinstance(steps.send(None), Get)
    with pytest.raises(WhiteRabbitProtocolError, match=message):
        steps.send(record)
