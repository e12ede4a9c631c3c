"""Following against a server that lives in memory, by a clock that only the server moves: every outcome, no waiting."""

from __future__ import annotations

import json
import logging
import math
import random
from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent, ExecutionStatus, Glance
from airflow_provider_whiterabbit.client.wait.commands import Close, Command, Get, Open, Read, Sleep
from airflow_provider_whiterabbit.client.wait.follower import LAST_LOOK, LONGEST_BREATH, REFUSED_FOR, SILENCE, follow
from airflow_provider_whiterabbit.client.wait.target import followed_execution
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitAuthenticationError,
    WhiteRabbitError,
    WhiteRabbitNotFoundError,
    WhiteRabbitPermissionError,
    WhiteRabbitProtocolError,
    WhiteRabbitRateLimitError,
    WhiteRabbitServerError,
    WhiteRabbitStreamError,
    WhiteRabbitTimeoutError,
    WhiteRabbitTransportError,
)
from tests.client.properties import examples

ID = "7d0c5bb4-6c3b-4f55-9d0f-6f3f8d6e7a10"
OTHER_ID = "00000000-1111-4222-8333-444444444444"
EPOCH = 1_776_679_200.0
PING = 15.0

FOLLOWER_LOG = "airflow_provider_whiterabbit.client.wait.follower"

REFUSED_STREAMS = ("stream 403", "stream 404")
LOST_STREAMS = ("unavailable", "limited", "unreachable", "hangs")
LIVE_STREAMS = (
    *("tells", "tells twice", "tells at once", "closes", "closes later", "breaks", "silent", "silent later"),
    *("garbage", "foreign", "unknown status", "loses the end", "tells and closes"),
)
RECORDS = ("ok", "ok", "limited", "unavailable", "unreachable", "hangs", "late")


@dataclass
class Server:
    """One execution and how the server behaves, answer by answer.

    :param streams: what becomes of each attempt to open a stream, in turn; then all is well.
    :param records: what becomes of each read of the record, in turn; then all is well.
    :param executing: seconds from now until it executes.
    :param ends: seconds from now until it has ended.
    :param lag: seconds that the record is behind the stream's events.
    """

    streams: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    executing: float = 1.0
    ends: float = 60.0
    outcome: str = "COMPLETED"
    lag: float = 0.0
    latency: float = 0.05
    streams_forever: str = "tells"
    now: float = EPOCH
    log: list[tuple[float, Command]] = field(default_factory=list)
    last_look: str = ""
    stream: str | None = None
    opened: float = 0.0
    to_come: list[tuple[float, bytes]] = field(default_factory=list)
    decoder: EventDecoder = field(default_factory=EventDecoder)

    def status(self, at: float) -> str:
        if at >= EPOCH + self.ends:
            return self.outcome
        return "EXECUTING" if at >= EPOCH + self.executing else "CREATED"

    def answer(self, command: Command) -> Any:
        """Carry out a command: move the clock, and return or raise what comes of it."""
        self.log.append((self.now, command))
        assert len(self.log) < 20_000, "a hot loop"
        match command:
            case Open(request, within):
                assert request.path == f"/v1/sdk/components/executions/{ID}/stream"
                assert self.stream is None, "two streams at once"
                assert within > 0
                self._open(self.streams.pop(0) if self.streams else self.streams_forever, within)
            case Read(silence, within, quiet):
                assert self.stream is not None, "nothing to read from"
                assert within > 0
                return self._read(silence, self.now + within, self.now + quiet)
            case Close():
                assert self.stream is not None, "nothing to close"
                self.stream = None
            case Get(request, within, wanted):
                assert request.path == f"/v1/sdk/components/executions/{ID}"
                assert within > 0
                record = self._record(self.records.pop(0) if self.records else "ok", within)
                return {name: record[name] for name in wanted or record}
            case Sleep(seconds):
                assert 0 <= seconds < math.inf
                self.now += seconds
        return None

    def _fail(self, how: str, path: str, within: float) -> None:
        match how:
            case "unavailable":
                self.now += self.latency
                raise WhiteRabbitServerError(503, "GET", path)
            case "limited":
                self.now += self.latency
                raise WhiteRabbitRateLimitError(429, "GET", path, retry_after=7.0)
            case "limited for long":
                raise WhiteRabbitRateLimitError(429, "GET", path, retry_after=86_400.0)
            case "unreachable":
                raise WhiteRabbitTransportError(f"GET {path}: connection refused", sent=False)
            case "hangs":
                self.now += min(within, 300.0)
                raise WhiteRabbitTransportError(f"GET {path}: no answer in {within:g} s")
            case "stream 403":
                raise WhiteRabbitPermissionError(403, "GET", path)
            case "stream 404":
                raise WhiteRabbitNotFoundError(404, "GET", path)

    def _open(self, how: str, within: float) -> None:
        self._fail(how, "/stream", within)
        self.now += min(self.latency, within)
        self.stream, self.opened, self.decoder = how, self.now, EventDecoder()
        changes = [EPOCH + self.executing, EPOCH + self.ends]
        pings = [self.now + PING * (1 + n) for n in range(1000)]
        told = [(at, self._event(at)) for at in changes if at > self.now]
        match how:
            case "tells" | "tells twice" | "tells at once":
                # Whoever comes after the end is told nothing and sees the stream close, unless it is told at once.
                if how == "tells at once":
                    told.insert(0, (self.now, self._event(self.now)))
                end = max(self.now, changes[-1])
                copies = 2 if how == "tells twice" else 1
                self.to_come = [(at, text) for at, text in told for _ in range(copies)]
                self.to_come += [(at, b":ping\n\n") for at in pings if at < end] + [(end, b"")]
            case "loses the end":
                self.to_come = told[:-1] + [(at, b":ping\n\n") for at in pings if at < changes[-1]]
                self.to_come.append((max(self.now, changes[-1]), b""))
            case "closes":
                self.to_come = [(self.now, b"")]
            case "tells and closes":
                self.to_come = [(self.now, self._event(self.now)), (self.now + 25, b"")]
            case "closes later":
                self.to_come = [(at, b":ping\n\n") for at in pings[:3]] + [(self.now + 50, b"")]
            case "breaks":
                self.to_come = [(self.now + 1, b"data: {"), (self.now + 2, b"broken")]
            case "silent":
                self.to_come = []
            case "only pings":
                self.to_come = [(at, b":ping\n\n") for at in pings]
            case "silent later":
                self.to_come = [(at, b"data: :ping\n\n") for at in pings[:4]]
            case "garbage":
                self.to_come = [(self.now + 1, b"data: {not json\n\n")]
            case "foreign":
                self.to_come = [(self.now + 1, self._event(math.inf, OTHER_ID))]
            case "unknown status":
                self.to_come = [(self.now + 1, b'data: {"id": "%s", "status": "PAUSED"}\n\n' % ID.encode())]
        self.to_come.sort(key=lambda item: item[0])

    def _event(self, at: float, execution_id: str = ID) -> bytes:
        status = self.status(at)
        event = {"id": execution_id, "status": status, "output": None, "error": None, "timestamp": None}
        return f"data: {json.dumps(event)}\n\n".encode()

    def _read(self, silence: float, ends: float, quiet: float) -> list[Any] | None:
        while True:
            due = self.to_come[0][0] if self.to_come else math.inf
            if due > min(self.now + silence, ends):
                if ends <= self.now + silence:
                    self.now = ends
                    return []
                self.now += silence
                raise WhiteRabbitStreamError(f"silent for {silence:g} s")
            self.now = max(self.now, due)
            _, chunk = self.to_come[0]
            if not chunk:
                return None
            del self.to_come[0]
            if chunk == b"broken":
                raise WhiteRabbitTransportError("the stream broke")
            if (events := self.decoder.feed(chunk)) or self.now >= quiet:
                return events

    def _record(self, how: str, within: float) -> Any:
        self.last_look = "failed"
        self._fail(how, "", within)
        self.now += min(within, 4.0 if how == "late" else self.latency)
        status = self.status(self.now - self.lag)
        self.last_look = status
        return {"id": ID, "status": status, "output": {"a": 1}, "error": None}


def drive(server: Server, **options: Any) -> Execution | ExecutionEvent | Glance:
    """Follow to the end, as the transports do."""
    options.setdefault("uniform", random.Random(7).uniform)  # noqa: S311
    steps = follow(followed_execution(ID), clock=lambda: server.now, **options)
    return run(steps, server)


def drive_until(server: Server, deadline: float, **options: Any) -> Any:
    """Follow to the end or the deadline; return what was found, or the time-out."""
    try:
        return drive(server, deadline=deadline, **options)
    except WhiteRabbitTimeoutError as error:
        return error


def run(steps: Generator[Command, Any, Any], server: Server) -> Any:
    try:
        command = next(steps)
        while True:
            try:
                answer = server.answer(command)
            except WhiteRabbitError as error:
                command = steps.throw(error)
            else:
                command = steps.send(answer)
    except StopIteration as end:
        return end.value


def times_of(server: Server, kind: type[Command]) -> list[float]:
    return [at - EPOCH for at, command in server.log if isinstance(command, kind)]


servers = st.builds(
    Server,
    streams=st.lists(st.sampled_from((*LIVE_STREAMS, *LOST_STREAMS, *REFUSED_STREAMS)), max_size=12),
    records=st.lists(st.sampled_from(RECORDS), max_size=16),
    executing=st.floats(0, 100),
    ends=st.floats(0, 2000),
    outcome=st.sampled_from(("COMPLETED", "FAILED")),
    lag=st.sampled_from((0.0, 0.0, 3.0)),
    latency=st.floats(0.001, 2),
    streams_forever=st.sampled_from((*LIVE_STREAMS, *LOST_STREAMS, *REFUSED_STREAMS)),
)


@given(server=servers, confirm=st.booleans(), seed=st.integers(0, 1000))
@examples(400)
def test_the_end_is_reported_once_and_never_early(server: Server, confirm: bool, seed: int):
    """Whatever the server does on the way, a wait without deadline ends with the execution's own end and not before."""
    found = drive(server, confirm=confirm, uniform=random.Random(seed).uniform)  # noqa: S311
    assert found.id == ID
    assert found.status == server.outcome
    assert server.now >= EPOCH + server.ends
    if confirm:
        assert isinstance(found, Execution)
        assert found.output == {"a": 1}


@given(server=servers, confirm=st.booleans(), seed=st.integers(0, 1000))
@examples(400)
def test_the_end_is_noticed_soon(server: Server, confirm: bool, seed: int):
    """Once the server behaves again, an end is noticed within a poll interval, a silence and a few answers."""
    drive(server, confirm=confirm, uniform=random.Random(seed).uniform)  # noqa: S311
    troubles = 300 * 28  # every scripted trouble may cost a hanging request
    assert server.now <= EPOCH + server.ends + troubles + 30 + SILENCE + 5 * 300


@given(server=servers, confirm=st.booleans(), seed=st.integers(0, 1000), within=st.floats(-10, 1500))
@examples(400)
def test_a_deadline_is_kept(server: Server, confirm: bool, seed: int, within: float):
    """At the deadline a wait has looked at the record, reports an end that it saw, and gives up otherwise, in time."""
    deadline = EPOCH + within
    uniform = random.Random(seed).uniform  # noqa: S311
    found = drive_until(server, deadline, confirm=confirm, uniform=uniform)
    if isinstance(found, WhiteRabbitTimeoutError):
        assert server.now >= deadline
        assert ID in str(found)
        assert isinstance(server.log[-1][1], Get)
        assert server.last_look in ("failed", "CREATED", "EXECUTING")
    else:
        assert found.status == server.outcome
        assert server.now >= EPOCH + server.ends
    assert times_of(server, Get)
    assert server.now <= max(deadline, EPOCH) + 2 * LAST_LOOK + 0.001


def test_a_look_beside_the_stream_does_not_delay_the_deadline():
    """A read of the record while its stream lives, which hangs, takes the wait to its deadline and not beyond."""
    server = Server(records=["ok", "hangs"], ends=2000)
    found = drive_until(server, EPOCH + 926)
    assert isinstance(found, WhiteRabbitTimeoutError)
    assert server.now <= EPOCH + 926 + LAST_LOOK


@given(server=servers, seed=st.integers(0, 1000))
@examples(300)
def test_no_hot_loop(server: Server, seed: int):
    """However a server misbehaves, commands are few: some at the start, then a handful in each poll interval."""
    drive(server, uniform=random.Random(seed).uniform)  # noqa: S311
    took = server.now - EPOCH
    assert len(server.log) <= 150 + 12 * took / 15


@pytest.mark.parametrize("how", ["closes", "breaks", "garbage", "foreign", "unknown status", *LOST_STREAMS])
@pytest.mark.parametrize("records", ["ok", "unavailable"])
def test_a_server_that_never_gets_better(how: str, records: str):
    """Over hours of the same trouble a wait costs a few requests a minute, and still notices the end."""
    server = Server(streams_forever=how, records=[records] * 100_000, ends=20_000, latency=0.001)
    found = drive_until(server, EPOCH + 21_600)
    assert isinstance(found, WhiteRabbitTimeoutError) is (records == "unavailable")
    assert len(times_of(server, Get)) + len(times_of(server, Open)) <= 21_600 / 60 * 20


def test_a_stream_that_is_closed_every_few_seconds_by_a_proxy():
    """A stream that lives a while and is cut again and again is opened again soon: that is no outage."""
    server = Server(streams_forever="closes later", ends=3600)
    drive(server)
    opens = times_of(server, Open)
    assert 3600 / 52 - 5 <= len(opens) <= 3600 / 50 + 5


@pytest.mark.parametrize("confirm", [False, True])
def test_an_end_between_subscribing_and_reading(confirm: bool):
    """An execution that ends while the stream is being opened is noticed by the record that is read next."""
    server = Server(ends=0.0, latency=1.0, streams_forever="silent")
    found = drive(server, confirm=confirm)
    assert isinstance(found, Execution if confirm else Glance)
    assert [type(command) for _, command in server.log] == [Open, Get]


def test_subscribing_comes_before_reading():
    """The stream is opened first and the record read second, every time."""
    server = Server(streams=["closes"] * 20, ends=500)
    drive(server)
    kinds = [type(command) for _, command in server.log if isinstance(command, Open | Get | Read)]
    assert kinds[:3] == [Open, Get, Read]
    assert all(kinds[at + 1 : at + 3] == [Get, Read] for at, kind in enumerate(kinds[:-3]) if kind is Open)


def test_an_event_ends_the_wait():
    """A terminal event is the answer without another request, where the caller does not ask for the record."""
    server = Server(ends=100)
    found = drive(server)
    assert isinstance(found, ExecutionEvent)
    assert (found.status, len(times_of(server, Get)), server.now) == (ExecutionStatus.COMPLETED, 1, EPOCH + 100)


def test_a_confirmed_end():
    """Where the record is asked for, it is read once more after the terminal event, on a closed stream."""
    server = Server(ends=100, outcome="FAILED")
    found = drive(server, confirm=True)
    assert isinstance(found, Execution)
    assert found.status is ExecutionStatus.FAILED
    assert [type(command) for _, command in server.log[-2:]] == [Close, Get]


def test_a_record_that_is_behind_its_event():
    """A record that does not know of the end yet is read again until it does; only then is it the answer."""
    server = Server(ends=100, lag=3.0)
    found = drive(server, confirm=True)
    assert isinstance(found, Execution)
    assert EPOCH + 103 <= server.now <= EPOCH + 115


@pytest.mark.parametrize("how", REFUSED_STREAMS)
def test_a_refused_stream_leads_to_polling(how: str, caplog: pytest.LogCaptureFixture):
    """Where streaming is refused, the record is read at the poll interval, and one warning tells of it."""
    server = Server(streams_forever=how, ends=95, latency=0.0)
    assert drive(server, poll_interval=10.0).status == "COMPLETED"
    assert times_of(server, Open) == [0]
    assert times_of(server, Get) == [10.0 * n for n in range(11)]
    assert [record.levelname for record in caplog.records if "polling every 10 s" in record.getMessage()] == ["WARNING"]


def test_polling_outlives_an_outage():
    """While polling, an outage leads to pauses of at most the poll interval, and after it the interval is back."""
    server = Server(streams_forever="stream 404", records=["ok", *["unavailable"] * 30, "ok"], ends=900, latency=0.0)
    drive(server, poll_interval=10.0)
    looks = times_of(server, Get)
    pauses = [later - at for at, later in pairwise(looks)]
    assert max(pauses) <= 10.001
    assert pauses[-5:] == pytest.approx([10.0] * 5)


@pytest.mark.parametrize(
    ("records", "streams"),
    [(["ok"], ["limited"]), (["limited"], ["limited"]), (["unavailable"], ["limited"]), (["limited"], ["closes"])],
    ids=["stream", "both", "stream, and no record", "record, and the stream closes"],
)
def test_retry_after_is_honoured(records: list[str], streams: list[str]):
    """A server that asks to wait is not asked for another stream earlier, whatever else went wrong after that."""
    server = Server(records=records, streams=streams)
    drive(server)
    [first, second, *_] = times_of(server, Open)
    assert second - first >= 7.0


def test_retry_after_is_bounded():
    """A server that asks to wait for hours is asked again before that: the execution may have ended."""
    server = Server(streams=["limited for long"], ends=math.inf)
    drive_until(server, EPOCH + 4 * LONGEST_BREATH)
    [first, second, *_] = times_of(server, Open)
    assert LONGEST_BREATH <= second - first <= LONGEST_BREATH + 5


def test_a_refused_stream_is_asked_for_again():
    """A stream that was refused once, as during a deployment, is tried again later, and not before."""
    server = Server(streams=["stream 404"], ends=2000, latency=0.0)
    assert isinstance(drive(server, poll_interval=10.0), ExecutionEvent)
    [first, second, *_] = times_of(server, Open)
    assert REFUSED_FOR <= second - first <= REFUSED_FOR + 10


@pytest.mark.parametrize("poll_interval", [0.0, -5.0, 0.001])
def test_polling_is_never_a_hot_loop(poll_interval: float):
    """However short a poll interval is asked for, the record is read once a second at the most."""
    server = Server(streams_forever="stream 404", ends=100, latency=0.0)
    drive(server, poll_interval=poll_interval)
    assert min(later - at for at, later in pairwise(times_of(server, Get))) >= 0.999


def test_a_stream_that_only_pings_is_not_believed_for_ever():
    """An end of which a living stream never tells, because its server lost it, is noticed within the hour."""
    server = Server(ends=100, streams_forever="only pings")
    assert drive(server).status == "COMPLETED"
    assert server.now < EPOCH + 3600
    assert len(times_of(server, Open)) == 1


@pytest.mark.parametrize("within", [0.5, 1.0, 3.0])
def test_opening_a_stream_does_not_outlast_the_deadline(within: float):
    """Only the last look at the record may come after the deadline: a stream that hangs on opening may not delay it."""
    server = Server(streams_forever="hangs", records=["hangs"] * 9, ends=math.inf)
    with pytest.raises(WhiteRabbitTimeoutError):
        drive(server, deadline=EPOCH + within)
    assert server.now <= EPOCH + within + LAST_LOOK


def test_a_deadline_that_is_over_already():
    """A wait that starts after its deadline looks once, and reports an end if there is one."""
    server = Server(ends=math.inf)
    with pytest.raises(WhiteRabbitTimeoutError, match="its last known status is CREATED"):
        drive(server, deadline=EPOCH - 1000)
    assert [type(command) for _, command in server.log] == [Get]
    assert drive(Server(ends=0), deadline=EPOCH - 1000).status == "COMPLETED"


def test_a_time_out_tells_what_it_knows():
    """The time-out names the last known status, or that none is known and the refusal that was the last answer."""
    with pytest.raises(WhiteRabbitTimeoutError, match="its last known status is EXECUTING"):
        drive(Server(ends=math.inf), deadline=EPOCH + 100)
    with pytest.raises(WhiteRabbitTimeoutError, match=r"nothing was learnt of it in time \(White Rabbit answered 503"):
        drive(Server(executing=math.inf, ends=math.inf, records=["unavailable"] * 99), deadline=EPOCH + 10)


@pytest.mark.parametrize(
    "error",
    [
        WhiteRabbitAuthenticationError(401, "GET", "/p"),
        WhiteRabbitPermissionError(403, "GET", "/p"),
        WhiteRabbitNotFoundError(404, "GET", "/p"),
    ],
    ids=lambda error: str(error.status),
)
def test_a_refused_record_ends_the_wait(error: WhiteRabbitError):
    """A refused key, a missing permission and an unknown execution end the wait at once with their own error."""
    steps = follow(followed_execution(ID), clock=lambda: EPOCH)
    assert isinstance(next(steps), Open)
    assert isinstance(steps.throw(error), Get)
    with pytest.raises(type(error)) as raised:
        steps.throw(error)
    assert raised.value is error


@pytest.mark.parametrize(
    "record", [{"id": ID, "status": "PAUSED"}, {"id": ID}, {"id": OTHER_ID, "status": "COMPLETED"}, {}, [], None]
)
def test_a_glance_at_an_unknown_record_ends_the_wait(record: Any):
    """Where only the status is asked for, an unknown one and the record of another execution end the wait too."""
    steps = follow(followed_execution(ID), clock=lambda: EPOCH)
    next(steps)
    get = steps.send(None)
    assert isinstance(get, Get)
    assert get.wanted == ("id", "status")
    with pytest.raises(WhiteRabbitProtocolError):
        steps.send(record)


@pytest.mark.parametrize(
    ("record", "said"),
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
def test_an_unknown_record_ends_the_wait(record: Any, said: str):
    """A record that is not as documented, or not the right one, ends the wait at once: unknown is not success."""
    steps = follow(followed_execution(ID), confirm=True, clock=lambda: EPOCH)
    assert isinstance(next(steps), Open)
    assert isinstance(steps.send(None), Get)
    with pytest.raises(WhiteRabbitProtocolError, match=said):
        steps.send(record)


def test_silence_is_as_long_as_three_pings():
    """A stream is read with the patience of three pings, and after that much silence the record is read."""
    server = Server(streams=["silent"], ends=1000)
    drive(server)
    reads = [command.silence for _, command in server.log if isinstance(command, Read)]
    assert set(reads) == {3 * PING}
    assert times_of(server, Get)[1] == pytest.approx(SILENCE, abs=1)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == FOLLOWER_LOG]


def test_each_status_is_logged_once(caplog: pytest.LogCaptureFixture):
    """Every status is logged once with the seconds so far, however often record and stream tell of it."""
    caplog.set_level(logging.INFO, FOLLOWER_LOG)
    drive(Server(streams=["closes", "tells twice"], executing=20, ends=120), confirm=True)
    told = [message.split(": ", 1)[1] for message in messages(caplog) if "WARNING" not in message]
    assert [text.split()[0] for text in told if text.split()[1:2] == ["after"]] == ["CREATED", "EXECUTING", "COMPLETED"]
    assert all(message.startswith(f"Execution {ID}: ") for message in messages(caplog))


OUTAGES = [
    ("unreachable", "unreachable"),
    ("unavailable", "unavailable"),
    ("closes", "unavailable"),
    ("garbage", "ok"),
    ("limited", "unreachable"),
]


@pytest.mark.parametrize(("stream", "record"), OUTAGES)
def test_an_outage_is_logged_once(stream: str, record: str, caplog: pytest.LogCaptureFixture):
    """The same trouble over hours is one warning for the stream and one for the record, not one for each attempt."""
    server = Server(streams_forever=stream, records=[record] * 10_000, executing=math.inf, ends=math.inf)
    drive_until(server, EPOCH + 2 * 3600)
    assert len(times_of(server, Get)) > 200
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(warnings) <= 4


def test_statuses_that_come_out_of_order_are_logged_once(caplog: pytest.LogCaptureFixture):
    """A record that is behind the stream does not make the log go back and forth."""
    caplog.set_level(logging.INFO, FOLLOWER_LOG)
    drive(Server(streams_forever="tells and closes", executing=0, ends=600, lag=400.0))
    told = [text.split(": ", 1)[1].split()[0] for text in messages(caplog) if " after " in text]
    assert told[-1] == "COMPLETED"
    assert len(told) == len(set(told))
