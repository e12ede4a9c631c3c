"""A simulated server with one execution, and a clock that only the server advances: waits of hours take no time."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent
from airflow_provider_whiterabbit.client.records.glance import Glance
from airflow_provider_whiterabbit.client.wait.commands import Close, Command, Get, Open, Read, Sleep
from airflow_provider_whiterabbit.client.wait.follower import follow
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitNotFoundError,
    WhiteRabbitPermissionError,
    WhiteRabbitRateLimitError,
    WhiteRabbitServerError,
    WhiteRabbitStreamError,
    WhiteRabbitTimeoutError,
    WhiteRabbitTransportError,
)

ID = "7d0c5bb4-6c3b-4f55-9d0f-6f3f8d6e7a10"
OTHER_ID = "00000000-1111-4222-8333-444444444444"

EPOCH = 1_776_679_200.0
"""When the simulation begins and the execution is created, in Unix seconds."""

API_ERRORS = (("REFUSED", "no"),)
"""The errors of an answer that is the API's."""

PING_INTERVAL = 15.0
"""Seconds between two pings of a stream."""

REFUSED_STREAMS = ("stream 403", "stream 404")
FAILED_STREAMS = ("unavailable", "limited", "unreachable", "hangs", "page")
OPENED_STREAMS = (
    *("sends changes", "sends changes twice", "sends the status first", "closes", "closes after 50 s", "breaks"),
    *("silent", "silent after pings", "malformed event", "event of another id", "unknown status", "loses the end"),
    "sends the status and closes",
)
LATE_STREAMS = {"late head": PING_INTERVAL, "later head": 100.0}
"""Streams that send their head, and then their changes, only after so many seconds."""

STREAMS = (*LATE_STREAMS, *OPENED_STREAMS, *FAILED_STREAMS, *REFUSED_STREAMS)
RECORDS = ("ok", "ok", "limited", "unavailable", "unreachable", "hangs", "slow", "page", "lags", "paused")


@dataclass
class SimulatedServer:
    """One execution, and how the server answers each request. Times are seconds after `EPOCH`.

    :param streams: the behavior of each stream that is opened, in turn; after the last one, `later_streams`.
    :param records: the behavior of each read of the record, in turn; after the last one, ``ok``.
    :param executing: when the status becomes EXECUTING.
    :param ends: when the status becomes `final_status`.
    :param lag: seconds by which the record is behind the events.
    :param latency: seconds that an answer takes.
    """

    streams: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    executing: float = 1.0
    ends: float = 60.0
    final_status: str = "COMPLETED"
    lag: float = 0.0
    latency: float = 0.05
    later_streams: str = "sends changes"
    now: float = EPOCH
    commands: list[tuple[float, Command]] = field(default_factory=list)
    last_record: str = ""
    open_stream: str | None = None
    opens_at: float | None = None
    opening: str = ""
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    decoder: EventDecoder = field(default_factory=EventDecoder)

    def times_of(self, kind: type[Command]) -> list[float]:
        """Return when commands of this class were carried out, in seconds after `EPOCH`."""
        return [at - EPOCH for at, command in self.commands if isinstance(command, kind)]

    def carry_out(self, command: Command) -> Any:
        """Carry out a command: advance the clock, and return the answer or raise the error."""
        self.commands.append((self.now, command))
        assert len(self.commands) < 20_000, "too many commands: a hot loop"
        match command:
            case Open(request, within, patience):
                assert request.path == f"/v1/sdk/components/executions/{ID}/stream"
                assert self.open_stream is None, "two streams at once"
                assert 0 < patience <= within
                return self._open(within, patience)
            case Read(silence, within, quiet):
                assert self.open_stream is not None, "there is no open stream to read from"
                assert within > 0
                return self._read(silence, self.now + within, self.now + quiet)
            case Close():
                assert self.open_stream is not None, "there is no open stream to close"
                self.open_stream = self.opens_at = None
            case Get(request, within, wanted):
                assert request.path == f"/v1/sdk/components/executions/{ID}"
                assert within > 0
                record = self._record(self.records.pop(0) if self.records else "ok", within)
                return {name: record[name] for name in wanted or record}
            case Sleep(seconds):
                assert 0 <= seconds < math.inf
                self.now += seconds
        return None

    def _status(self, at: float) -> tuple[str, float]:
        """Return the status at a time, and when the execution reached it."""
        if at >= EPOCH + self.ends:
            return self.final_status, EPOCH + self.ends
        return ("EXECUTING", EPOCH + self.executing) if at >= EPOCH + self.executing else ("CREATED", EPOCH)

    def _fail(self, behavior: str, path: str, within: float) -> None:
        match behavior:
            case "unavailable":
                self.now += self.latency
                raise WhiteRabbitServerError(503, "GET", path)
            case "limited":
                self.now += self.latency
                raise WhiteRabbitRateLimitError(429, "GET", path, retry_after=7.0)
            case "limited for five minutes":
                raise WhiteRabbitRateLimitError(429, "GET", path, retry_after=300.0)
            case "limited for a day":
                raise WhiteRabbitRateLimitError(429, "GET", path, retry_after=86_400.0)
            case "unreachable":
                raise WhiteRabbitTransportError(f"GET {path}: connection refused", sent=False)
            case "hangs":
                self.now += min(within, 300.0)
                raise WhiteRabbitTransportError(f"GET {path}: no answer in {within:g} s")
            case "page":
                self.now += self.latency
                raise WhiteRabbitNotFoundError(404, "GET", path)
            case "stream 403":
                raise WhiteRabbitPermissionError(403, "GET", path, API_ERRORS)
            case "stream 404":
                raise WhiteRabbitNotFoundError(404, "GET", path, API_ERRORS)

    def _open(self, within: float, patience: float) -> bool:
        """Open a stream or go on opening it; return whether it is open."""
        if self.opens_at is None:
            self.opening = self.streams.pop(0) if self.streams else self.later_streams
            self._fail(self.opening, "/stream", within)
            is_late = self.opening in LATE_STREAMS
            self.opens_at = self.now + (LATE_STREAMS[self.opening] if is_late else min(self.latency, patience))
        if self.opens_at > self.now + patience:
            self.now += patience
            return False
        self.now = max(self.now, self.opens_at)
        self.open_stream, self.decoder, self.opens_at = self.opening, EventDecoder(), None
        self.chunks = sorted(self._chunks_of(self.opening), key=lambda chunk: chunk[0])
        return True

    def _chunks_of(self, behavior: str) -> list[tuple[float, bytes]]:
        """Return what a stream sends and when. Empty bytes close the stream."""
        pings = [(self.now + PING_INTERVAL * (1 + n), b":ping\n\n") for n in range(1000)]
        last_change = EPOCH + self.ends
        changes = [(at, self._event(at)) for at in (EPOCH + self.executing, last_change) if at > self.now]
        close = (max(self.now, last_change), b"")
        pings_before_the_end = [ping for ping in pings if ping[0] < close[0]]
        match behavior:
            case (
                "sends changes" | "late head" | "later head"
            ):  # a stream that is opened after the end sends nothing and closes
                return [*changes, *pings_before_the_end, close]
            case "sends changes twice":
                return [*(event for event in changes for _ in range(2)), *pings_before_the_end, close]
            case "sends the status first":
                return [(self.now, self._event(self.now)), *changes, *pings_before_the_end, close]
            case "loses the end":
                return [*changes[:-1], *pings_before_the_end, close]
            case "closes":
                return [(self.now, b"")]
            case "sends the status and closes":
                return [(self.now, self._event(self.now)), (self.now + 25, b"")]
            case "closes after an hour":
                return [*pings[:239], (self.now + 3600, b"")]
            case "closes after 50 s":
                return [*pings[:3], (self.now + 50, b"")]
            case "breaks":
                return [(self.now + 1, b"data: {"), (self.now + 2, b"broken")]
            case "only pings":
                return pings
            case "silent after pings":
                return [(at, b"data: :ping\n\n") for at, _ in pings[:4]]
            case "malformed event":
                return [(self.now + 1, b"data: {not json\n\n")]
            case "event of another id":
                return [(self.now + 1, self._event(math.inf, OTHER_ID))]
            case "unknown status":
                return [(self.now + 1, b'data: {"id": "%s", "status": "PAUSED"}\n\n' % ID.encode())]
        assert behavior == "silent"
        return []

    def _event(self, at: float, execution_id: str = ID) -> bytes:
        status, reached_at = self._status(at)
        timestamp = iso(reached_at) if reached_at < math.inf else None
        event = {"id": execution_id, "status": status, "output": None, "error": None, "timestamp": timestamp}
        return f"data: {json.dumps(event)}\n\n".encode()

    def _read(self, silence: float, ends: float, quiet: float) -> list[Any] | None:
        while True:
            due = self.chunks[0][0] if self.chunks else math.inf
            if due > min(self.now + silence, ends):
                if ends <= self.now + silence:
                    self.now = ends
                    return []
                self.now += silence
                raise WhiteRabbitStreamError(f"silent for {silence:g} s")
            self.now = max(self.now, due)
            _, chunk = self.chunks[0]
            if not chunk:
                return None
            del self.chunks[0]
            if chunk == b"broken":
                raise WhiteRabbitTransportError("the stream broke")
            if (events := self.decoder.feed(chunk)) or self.now >= quiet:
                return events

    def _record(self, behavior: str, within: float) -> dict[str, Any]:
        self.last_record = "failed"
        self._fail(behavior, "", within)
        self.now += min(within, 4.0 if behavior == "slow" else self.latency)
        status, reached_at = self._status(self.now - self.lag)
        self.last_record = status
        times = {"createdAt": iso(EPOCH), "updatedAt": iso(reached_at)}
        completed = status in ("COMPLETED", "FAILED")
        if behavior == "lags":
            self.last_record, status, completed = behavior, "EXECUTING", True
        if behavior == "paused":
            self.last_record, status, completed = behavior, "PAUSED", False
        return {"id": ID, "status": status, "completed": completed, "output": {"a": 1}, "error": None, **times}


SERVERS = st.builds(
    SimulatedServer,
    streams=st.lists(st.sampled_from(STREAMS), max_size=12),
    records=st.lists(st.sampled_from(RECORDS), max_size=16),
    executing=st.floats(0, 100),
    ends=st.floats(0, 2000),
    final_status=st.sampled_from(("COMPLETED", "FAILED")),
    lag=st.sampled_from((0.0, 0.0, 3.0)),
    latency=st.floats(0.001, 2),
    later_streams=st.sampled_from(STREAMS),
)
"""A strategy for servers that fail in any order, and then behave like `later_streams`."""


def iso(unix_seconds: float) -> str:
    """Return a time as White Rabbit writes it."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds")


def run_follow(server: SimulatedServer, **options: Any) -> Execution | ExecutionEvent | Glance:
    """Follow the execution to its end, as the transports do. The options are those of `follow`."""
    options.setdefault("uniform", random.Random(7).uniform)  # noqa: S311
    options.setdefault("wall", lambda: server.now)
    steps = follow(EXECUTION.followed(ID), clock=lambda: server.now - EPOCH, **options)
    end: Execution | ExecutionEvent | Glance = run_steps(steps, server)
    return end


def run_follow_until(server: SimulatedServer, deadline: float, **options: Any) -> Any:
    """Follow the execution to its end or to the deadline; return what `follow` returns, or the timeout error."""
    try:
        return run_follow(server, deadline=deadline, **options)
    except WhiteRabbitTimeoutError as error:
        return error


def run_steps(steps: Generator[Command, Any, Any], server: SimulatedServer) -> Any:
    """Let the server carry out the commands of `follow`, and return what `follow` returns."""
    try:
        command = next(steps)
        while True:
            try:
                answer = server.carry_out(command)
            except WhiteRabbitError as error:
                command = steps.throw(error)
            else:
                command = steps.send(answer)
    except StopIteration as end:
        return end.value
