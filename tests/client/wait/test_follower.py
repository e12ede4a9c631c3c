"""The follower: the order of its commands, how it survives failures, and when it polls."""

from __future__ import annotations

import logging
import math
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent
from airflow_provider_whiterabbit.client.records.glance import Glance
from airflow_provider_whiterabbit.client.records.status import ExecutionStatus
from airflow_provider_whiterabbit.client.wait.commands import Close, Get, Open, Read, Sleep
from airflow_provider_whiterabbit.client.wait.follower import follow
from airflow_provider_whiterabbit.client.wait.stream_opener import MAX_STRANGE_REFUSALS
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, WORKFLOW_RUN
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitAuthenticationError,
    WhiteRabbitError,
    WhiteRabbitNotFoundError,
    WhiteRabbitPermissionError,
    WhiteRabbitProtocolError,
    WhiteRabbitResponseError,
    WhiteRabbitTimeoutError,
)
from tests.client.wait.simulation import (
    API_ERRORS,
    EPOCH,
    ID,
    LATE_STREAMS,
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
    assert second - first >= 6.999


def test_retry_after_is_bounded() -> None:
    """The follower pauses for at most `max_retry_after` seconds although the server asks for a day."""
    server = SimulatedServer(streams=["limited for a day"], ends=math.inf)
    run_follow_until(server, EPOCH + 4 * TIMING.max_retry_after)
    [first, second, *_] = server.times_of(Open)
    assert TIMING.max_retry_after - 0.001 <= second - first <= TIMING.max_retry_after + 5


# --- records that end the wait with an error


@pytest.mark.parametrize(
    "error",
    [
        WhiteRabbitAuthenticationError(401, "GET", "/p", API_ERRORS),
        WhiteRabbitPermissionError(403, "GET", "/p", API_ERRORS),
        WhiteRabbitNotFoundError(404, "GET", "/p", API_ERRORS),
        WhiteRabbitResponseError(409, "GET", "/p", API_ERRORS),
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
    "record",
    [
        {"id": ID, "status": "PAUSED", "completed": True},
        {"id": ID, "status": "PAUSED"},
        {"id": ID, "completed": False},
        {"id": OTHER_ID, "status": "COMPLETED"},
        {"id": None},
    ],
)
def test_an_unknown_glance_ends_the_wait(record: Any) -> None:
    """If only id and status are read, an unknown status or another id ends the wait at once with an error."""
    steps = follow(EXECUTION.followed(ID), clock=lambda: EPOCH)
    next(steps)
    get = steps.send(True)
    assert isinstance(get, Get)
    assert get.wanted == ("id", "status", "completed")
    with pytest.raises(WhiteRabbitProtocolError):
        steps.send(record)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": ID, "status": "PAUSED"}, "PAUSED"),
        ({"id": ID}, "None"),
        ({"id": ID, "status": "COMPLETED"}, "'output' is missing"),
        ({"id": OTHER_ID, "status": "COMPLETED", "output": 1}, OTHER_ID),
        ({"id": None, "status": "COMPLETED", "output": 1}, "'id' is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unknown_record_ends_the_wait(record: Any, message: str) -> None:
    """A record that is not as documented, or has another id, ends the wait at once with an error."""
    steps = follow(EXECUTION.followed(ID), whole_record=True, clock=lambda: EPOCH)
    assert isinstance(next(steps), Open)
    assert isinstance(steps.send(True), Get)
    with pytest.raises(WhiteRabbitProtocolError, match=message):
        steps.send(record)


@pytest.mark.parametrize("whole_record", [False, True])
@pytest.mark.parametrize(
    "answer", [{}, [], None, "ok", {"message": "Blocked", "error": "Forbidden", "statusCode": 403}]
)
def test_json_of_others_does_not_end_the_wait(answer: Any, whole_record: bool) -> None:
    """JSON with status 200 that has no id is an outage: a gateway, a firewall or a health check has sent it."""
    steps = follow(EXECUTION.followed(ID), whole_record=whole_record, clock=lambda: EPOCH)
    assert isinstance(next(steps), Open)
    assert isinstance(steps.send(True), Get)
    assert isinstance(steps.send(answer), Sleep)


@pytest.mark.parametrize("whole_record", [False, True])
def test_a_page_does_not_end_the_wait(whole_record: bool) -> None:
    """A refusal that is not the API's, such as a proxy's page with 404, is an outage like any other."""
    server = SimulatedServer(records=["page"] * 30, later_streams="page", ends=100)
    assert run_follow(server, whole_record=whole_record).status == "COMPLETED"


def test_pages_instead_of_a_stream() -> None:
    """A page instead of the stream is asked again soon; after the third in a row, the record is polled."""
    server = SimulatedServer(streams=["page", "page"], ends=100)
    assert isinstance(run_follow(server), ExecutionEvent)
    assert len(server.times_of(Open)) == 3
    blocked = SimulatedServer(later_streams="page", ends=300)
    run_follow(blocked, poll_interval=10.0)
    assert len(blocked.times_of(Open)) == MAX_STRANGE_REFUSALS
    assert len(blocked.times_of(Get)) <= MAX_STRANGE_REFUSALS + 300 / 10 + 1


# --- a server that contradicts itself


def test_an_unknown_status_does_not_end_the_wait() -> None:
    """A record whose status is unknown, and which has not ended, is read again at the poll interval."""
    server = SimulatedServer(records=["paused"] * 7, later_streams="only pings", executing=0, ends=200, latency=0.0)
    assert run_follow(server, poll_interval=20.0).status == "COMPLETED"
    assert server.now <= EPOCH + 200 + 20 + PING_INTERVAL
    assert server.times_of(Get) == pytest.approx([30.0 * n for n in range(8)])  # the poll interval, and up to a ping


@pytest.mark.parametrize("later_streams", ["only pings", "stream 404"])
def test_a_record_that_lags_is_read_again(later_streams: str) -> None:
    """`completed` with a status that is no end is neither an end nor an error; the record is read again soon."""
    server = SimulatedServer(records=["lags"] * 4, later_streams=later_streams, executing=0, ends=0)
    record = run_follow(server, whole_record=True)
    assert record.status == "COMPLETED"
    assert len(server.times_of(Get)) in (5, 6)
    assert server.now <= EPOCH + (4 * PING_INTERVAL + 4 if later_streams == "only pings" else 0.5 + 1 + 2 + 4 + 1)


def test_a_record_that_always_lags() -> None:
    """A record that says forever that it has ended, but not how, is read with the back-off until the deadline."""
    server = SimulatedServer(records=["lags"] * 10_000, later_streams="stream 404")
    result = run_follow_until(server, EPOCH + 3600)
    assert isinstance(result, WhiteRabbitTimeoutError)
    assert "'completed' is true, but the status is EXECUTING" in str(result)
    assert 3600 / 30 <= len(server.times_of(Get)) <= 3600 / 30 * 3


# --- a stream whose response does not begin


@pytest.mark.parametrize("stream", LATE_STREAMS)
def test_a_late_head_does_not_delay_the_first_look(stream: str) -> None:
    """An execution that has ended is noticed after `late_head`, although the stream's response has not begun."""
    server = SimulatedServer(later_streams=stream, ends=0)
    assert run_follow(server).status == "COMPLETED"
    assert server.now <= EPOCH + TIMING.late_head + 1


def test_a_late_head_and_an_end_before_it() -> None:
    """After a late head the record is read again, so that an end between the first look and the head is noticed."""
    server = SimulatedServer(later_streams="late head", ends=5, lag=0.0)
    assert isinstance(run_follow(server), Glance)
    assert [type(command) for _, command in server.commands] == [Open, Get, Open, Get]
    assert server.now <= EPOCH + PING_INTERVAL + 1


def test_a_very_late_head() -> None:
    """While a stream's response does not begin, the record is read at the poll interval."""
    server = SimulatedServer(later_streams="later head", ends=70)
    assert run_follow(server, poll_interval=10.0).status == "COMPLETED"
    assert server.now <= EPOCH + 70 + 11
    assert server.open_stream is None


def test_a_late_head_and_the_deadline() -> None:
    """The deadline ends a wait whose stream is still being opened."""
    server = SimulatedServer(later_streams="later head", ends=math.inf)
    assert isinstance(run_follow_until(server, EPOCH + 20), WhiteRabbitTimeoutError)
    assert server.now <= EPOCH + 20 + TIMING.final_read


# --- events


def chunk_of(*events: bytes) -> list[bytes]:
    """Return events that came together."""
    return [b"data: " + event + b"\n\n" for event in events]


def test_only_the_last_event_of_a_chunk_matters() -> None:
    """Of events that came together without an end only the last is parsed; if it can't be used, the record is read."""
    end, other = b'{"id": "%s", "status": "COMPLETED", "output": 1}' % ID.encode(), b"{not parsed"
    steps = follow(EXECUTION.followed(ID), clock=lambda: 0.0)
    next(steps)
    steps.send(True)
    assert isinstance(steps.send({"id": ID, "status": "EXECUTING"}), Read)
    assert isinstance(steps.send(chunk_of(other, other, other)), Close)
    assert isinstance(steps.send(None), Get)
    assert isinstance(steps.send({"id": ID, "status": "EXECUTING"}), Sleep)
    assert isinstance(steps.send(None), Open)
    steps.send(True)
    steps.send({"id": ID, "status": "EXECUTING"})
    assert isinstance(steps.send(chunk_of(other, end)), Close)
    with pytest.raises(StopIteration) as stopped:
        steps.send(None)
    assert stopped.value.value.succeeded


@pytest.mark.parametrize(
    "last",
    [b'{"id": "%s", "status": "EXECUTING"}' % ID.encode(), b'{"id": "%s"}' % OTHER_ID.encode(), b"{not parsed"],
    ids=["earlier status", "other id", "no JSON"],
)
def test_an_end_that_is_not_the_last_event_of_a_chunk(last: bytes) -> None:
    """An event with a final status ends the wait, although another event came behind it in the same chunk."""
    other_end = b'{"id": "%s", "status": "FAILED"}' % OTHER_ID.encode()
    end = b'{"id": "%s", "status": "COMPLETED", "output": 1}' % ID.encode()
    steps = follow(EXECUTION.followed(ID), clock=lambda: 0.0)
    next(steps)
    steps.send(True)
    steps.send({"id": ID, "status": "EXECUTING"})
    assert isinstance(steps.send(chunk_of(other_end, b'"COMPLETED"', end, last)), Close)
    with pytest.raises(StopIteration) as stopped:
        steps.send(None)
    assert stopped.value.value.succeeded


def test_events_are_not_parsed_whole_if_no_line_is_due(caplog: pytest.LogCaptureFixture) -> None:
    """Of events in quick succession only id and status are parsed; the last one's progress is logged when it is due."""
    caplog.set_level(logging.INFO)
    now = 0.0
    steps = follow(WORKFLOW_RUN.followed("r"), clock=lambda: now)
    next(steps)
    steps.send(True)
    stages = [{"id": str(number), "status": "RUNNING"} for number in range(9)]
    steps.send({"id": "r", "status": "EXECUTING", "runStages": stages})
    for number in range(400):
        now = number / 100
        open_stages = ", ".join(["7"] * (9 - number // 100)) + (", NOT JSON" if number < 399 else "")
        event = b'{"id": "r", "status": "EXECUTING", "output": {"nonTerminalStages": [%s]}}' % open_stages.encode()
        read = steps.send(chunk_of(event))
        assert isinstance(read, Read)
    assert read.quiet == pytest.approx(TIMING.progress_interval - now)
    now = TIMING.progress_interval
    steps.send([])  # a keep-alive
    assert [record.getMessage() for record in caplog.records] == [
        "Workflow run r: EXECUTING, 0 of 9 stages done",
        "Workflow run r: EXECUTING, 3 of 9 stages done",
    ]


# --- clocks


@pytest.mark.parametrize("step", [0.0, -3600.0], ids=["stands still", "is set back"])
def test_a_wall_clock_that_does_not_advance(step: float) -> None:
    """A wait whose wall clock stands still, or is set back, ends after its time by the monotonic clock."""
    server = SimulatedServer(ends=math.inf)
    wall = iter([EPOCH] + [EPOCH + step] * 10_000)
    result = run_follow_until(server, EPOCH + 100, wall=lambda: next(wall))
    assert isinstance(result, WhiteRabbitTimeoutError)
    assert EPOCH + 99.9 <= server.now <= EPOCH + 100 + TIMING.final_read


def test_a_wall_clock_that_is_set_forward() -> None:
    """A wait ends soon after the wall clock says so, as after a night in which the machine slept."""
    server = SimulatedServer(ends=math.inf)
    result = run_follow_until(server, EPOCH + 3600, wall=lambda: server.now + 3000 * (server.now > EPOCH + 50))
    assert isinstance(result, WhiteRabbitTimeoutError)
    assert server.now <= EPOCH + 50 + TIMING.recheck_after + PING_INTERVAL


def test_a_retry_after_of_the_first_minute_is_forgotten() -> None:
    """A record that was refused with a `Retry-After` does not delay the reconnect of a stream hours later."""
    server = SimulatedServer(records=["limited for five minutes"], streams=["closes after an hour"], ends=7200)
    run_follow(server)
    [_, second, *_] = server.times_of(Open)
    assert 3600 <= second <= 3600 + 2


def test_a_refused_stream_is_not_answered_by_asking_for_the_record() -> None:
    """After a `Retry-After` for the stream, the record is read after the pause, and then the stream is opened."""
    server = SimulatedServer(streams=["limited"], ends=600)
    run_follow(server)
    kinds = [type(command) for _, command in server.commands[:5]]
    assert kinds == [Open, Sleep, Get, Open, Get]
    assert server.times_of(Get)[0] >= 6.999
    limited = SimulatedServer(later_streams="limited", ends=600)
    run_follow(limited)
    assert limited.now <= EPOCH + 600 + 7 + 30 + 1
