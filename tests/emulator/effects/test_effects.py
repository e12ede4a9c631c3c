"""Each effect over a real socket, added through the Python API and over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.emulator.effects import EFFECTS
from dev.harness.polling import until
from tests.emulator.effects.received import (
    RECORD,
    STATUSES,
    TIMEOUT,
    Received,
    completed,
    receive_record,
    receive_stream,
)

SHORT_TIMEOUT = 1.0
"""Seconds without a byte after which a client fails that should receive nothing more."""

ON_STREAMS: list[tuple[effects.Effect, Callable[[Received], object]]] = [
    (effects.Answer(503, {"message": "no"}), lambda got: (got.status, got.json) == (503, {"message": "no"})),
    (effects.Reset("request"), lambda got: got.status is None and got.is_reset),
    (effects.Reset(), lambda got: got.status is None and got.is_reset),
    (effects.Reset("body"), lambda got: got.status == 200 and not got.body and got.is_reset),
    (effects.Reset("body", events=2), lambda got: got.statuses == STATUSES[:2] and got.is_reset),
    (effects.Reset("body", events=1, extra=20), lambda got: len(got.events[1]) == 14 and got.is_reset),
    (effects.Close(), lambda got: got.status == 200 and not got.body and not got.error),
    (effects.Close(events=2), lambda got: got.statuses == STATUSES[:2] and not got.error),
    (effects.Close(events=9), lambda got: got.statuses == STATUSES and not got.error),
    (effects.Close(events=1, extra=20), lambda got: len(got.events[1]) == 14 and not got.error),
    (effects.Close(events=2, clean=False), lambda got: got.statuses == STATUSES[:2] and got.is_incomplete),
    (effects.Close(events=1, extra=20, clean=False), lambda got: len(got.events[1]) == 14 and got.is_incomplete),
    (effects.Silence(), lambda got: got.status == 200 and not got.body and got.is_timeout),
    (effects.Silence(events=1), lambda got: got.statuses == STATUSES[:1] and got.is_timeout),
    (effects.Silence(events=1, extra=20), lambda got: len(got.events[1]) == 14 and got.is_timeout),
    (effects.Linger(None), lambda got: got.statuses == STATUSES and got.is_timeout),
    (effects.Split([3, 40, 1]), lambda got: got.statuses == STATUSES),
    (effects.Split([100], interval=0.01), lambda got: got.statuses == STATUSES),
    (effects.Delay(0.01), lambda got: got.statuses == STATUSES),
    (effects.Delay(0.01, before=True), lambda got: got.statuses == STATUSES),
    (effects.Postpone(0.01), lambda got: got.statuses == STATUSES),
    (effects.Postpone(5, event=2), lambda got: got.statuses == STATUSES[:1] and got.is_timeout),
    (effects.Postpone(5, event="terminal"), lambda got: got.statuses == STATUSES[:2] and got.is_timeout),
    (effects.Drop(), lambda got: not got.body and not got.error),
    (effects.Drop(2), lambda got: got.statuses == ["CREATED", "COMPLETED"]),
    (effects.Drop("terminal"), lambda got: got.statuses == STATUSES[:2] and not got.error),
    (effects.Duplicate(), lambda got: got.statuses == [status for status in STATUSES for _ in range(2)]),
    (effects.Duplicate(2), lambda got: got.statuses == ["CREATED", "EXECUTING", "EXECUTING", "COMPLETED"]),
    (effects.Duplicate("terminal"), lambda got: got.statuses == [*STATUSES, "COMPLETED"] and not got.error),
    (effects.Swap(), lambda got: got.statuses == ["EXECUTING", "CREATED", "COMPLETED"]),
    (effects.Swap(2), lambda got: got.statuses == ["CREATED", "COMPLETED", "EXECUTING"]),
    (effects.Swap(3), lambda got: got.statuses == STATUSES),
    (effects.Replace("{garbage", 2), lambda got: got.events[1] == b"{garbage" and len(got.events) == 3),
    (effects.Replace([1], "terminal"), lambda got: got.events[2] == b"[1]"),
    (effects.Replace("[1,\n2,\r\n3]\r", 2), lambda got: b"\ndata: [1,\ndata: 2,\ndata: 3]\ndata: \n\n" in got.body),
    (effects.Replace("[1,\u20282]", 2), lambda got: got.events[1] == "[1,\u20282]".encode()),
    (effects.Inject("data: {garbage\n\n", events=1), lambda got: got.events[1] == b"{garbage"),
    (effects.Inject(b": hello\n\n"), lambda got: got.body.startswith(b": hello\n\ndata:") and got.statuses == STATUSES),
    (effects.Inject("\0", events=1, extra=8), lambda got: got.events[1].startswith(b'{"\0id"')),
    (effects.Alter({"status": "PAUSED"}, 2), lambda got: got.statuses == ["CREATED", "PAUSED", "COMPLETED"]),
    (effects.Alter({"id": "other"}), lambda got: {json.loads(event)["id"] for event in got.events} == {"other"}),
    (effects.Alter(event="terminal", without=["output"]), lambda got: "output" not in json.loads(got.events[2])),
    (effects.Enlarge(2_000_000), lambda got: [len(event) > 10**6 for event in got.events] == [False, False, True]),
    (effects.Enlarge(2_000_000, 1), lambda got: json.loads(got.events[0])["output"] == "x" * 2_000_000),
]
"""Each effect, and what the client of a stream must receive."""

ON_RECORDS: list[tuple[effects.Effect, Callable[[Received], object]]] = [
    (
        effects.Answer(200, "<html>hello</html>"),
        lambda got: (got.status, got.headers["Content-Type"], got.body) == (200, "text/html", b"<html>hello</html>"),
    ),
    (
        effects.Answer(302, headers={"location": "http://other.invalid/"}),
        lambda got: (got.status, got.headers["Location"]) == (302, "http://other.invalid/"),
    ),
    (effects.Answer(503, process=True), lambda got: got.status == 503),
    (effects.Answer(429, retry_after=7), lambda got: got.headers["Retry-After"] == "7"),
    (effects.Delay(5), lambda got: got.status is None and got.is_timeout),
    (effects.Hold(), lambda got: got.status is None and got.is_timeout),
    (effects.Hold(before=True), lambda got: got.status is None and got.is_timeout),
    (effects.Reset("body"), lambda got: got.status == 200 and not got.body and got.is_reset),
    (
        effects.Reset("body", extra=10),
        lambda got: got.status == 200 and got.body == b'{"id":"' + got.id.encode()[:3] and got.is_reset,
    ),
    (effects.Reset("body", extra=9999), lambda got: got.json["id"] == got.id),
    (effects.Close(extra=10, clean=False), lambda got: len(got.body) == 10 and got.is_incomplete),
    (effects.Silence(), lambda got: got.status == 200 and not got.body and got.is_timeout),
    (effects.Silence(extra=10), lambda got: len(got.body) == 10 and got.is_timeout),
    (effects.Split(), lambda got: got.json["id"] == got.id),
    (effects.Split((1, 7)), lambda got: got.json["id"] == got.id),
    (effects.Truncate(5), lambda got: got.body.startswith(b'{"id"') and b"}" not in got.body[-2:]),
    (effects.Alter({"status": "PAUSED"}), lambda got: (got.json["status"], got.json["id"]) == ("PAUSED", got.id)),
    (effects.Alter(without=["output"]), lambda got: "output" not in got.json),
    (effects.Enlarge(10_000), lambda got: got.json["output"] == "x" * 10_000),
    (effects.Enlarge(0), lambda got: got.json["output"] == ""),
]
"""Each effect, and what the client that reads a record must receive."""

STREAM_EFFECTS = [effect for effect, _ in ON_STREAMS if effect.streams]


def case_id(value: object) -> str:
    """Return the id of a test case: its effect."""
    return repr(value) if isinstance(value, effects.Effect) else ""


def timeout_for(effect: effects.Effect) -> float:
    """Return after how many seconds without a byte the client fails."""
    stops = isinstance(effect, effects.Hold | effects.Silence | effects.Linger)
    return SHORT_TIMEOUT if stops or getattr(effect, "seconds", 0) > SHORT_TIMEOUT else TIMEOUT


def test_every_effect_has_a_case() -> None:
    """Every effect has a case above, and every effect but `Events` has a name over HTTP."""
    with_case = {type(effect) for effect, _ in ON_STREAMS + ON_RECORDS}
    public = {getattr(effects, name) for name in effects.__all__ if name != "EFFECTS"}
    concrete = {kind for kind in public if issubclass(kind, effects.Effect)} - {effects.Effect}
    assert with_case == set(EFFECTS.values()) == concrete - {effects.Events}


@pytest.mark.parametrize(("effect", "expected"), ON_STREAMS, ids=case_id)
def test_effect_on_a_stream(wr, client, add, effect, expected):
    """The first stream gets the effect, and the next stream is complete."""
    add(effect, kind="stream")
    received = receive_stream(wr, client, timeout=timeout_for(effect))
    assert expected(received), received
    assert receive_stream(wr, client).statuses == STATUSES


@pytest.mark.parametrize(("effect", "expected"), ON_RECORDS, ids=case_id)
def test_effect_on_a_record(wr, client, add, effect, expected):
    """The first read of a record gets the effect, and the next read returns the record."""
    add(effect, kind="record")
    received = receive_record(wr, client, timeout=timeout_for(effect))
    assert expected(received), received
    assert receive_record(wr, client).json["output"] == {"x": 1}


@pytest.mark.parametrize("effect", STREAM_EFFECTS, ids=repr)
def test_a_second_stream_is_unchanged(wr, client, effect):
    """A second stream of the same execution is complete while the first stream gets the effect."""
    wr.fault(effect, kind="stream")
    second_stream = []

    def follow_again(execution_id: str) -> None:
        with client.stream(execution_id) as second:
            wr.start(execution_id)
            wr.complete(execution_id, {"x": 1})
            second_stream.append(Received(execution_id, 200, {}, second.content, ""))

    receive_stream(wr, client, follow_again, timeout=timeout_for(effect))
    assert second_stream[0].statuses == STATUSES
    assert json.loads(second_stream[0].events[2])["output"] == {"x": 1}


@pytest.mark.parametrize("effect", STREAM_EFFECTS, ids=repr)
def test_an_error_instead_of_a_stream_is_unchanged(wr, client, effect):
    """An effect for streams does nothing if the endpoint answers with an error instead of a stream."""
    wr.fault(effect, kind="stream")
    response = client.get(RECORD.format("none/stream"), timeout=TIMEOUT)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("effect", "kind"),
    [
        (effects.Silence(), "stream"),
        (effects.Silence(extra=1), "record"),
        (effects.Linger(60), "stream"),
        (effects.Linger(None), "stream"),
        (effects.Split([1], interval=60), "stream"),
        (effects.Split([1], interval=60), "record"),
        (effects.Postpone(60), "stream"),
        (effects.Delay(60), "record"),
        (effects.Hold(), "record"),
        (effects.Hold(), "stream"),
        (effects.Enlarge(10**9), "record"),
        (effects.Close(clean=False), "stream"),
        (effects.Reset("body"), "stream"),
    ],
    ids=repr,
)
def test_no_task_remains_after_the_client_disconnects(wr, client, effect, kind):
    """When a client disconnects during an effect, neither a task of the event loop nor an open stream remains."""
    tasks = count_tasks(wr)
    wr.fault(effect, kind=kind)
    execution_id = completed(wr, 1)
    path = RECORD.format(execution_id) + ("/stream" if kind == "stream" else "")
    with suppress(requests.RequestException), client.get(path, stream=True, timeout=(5, 0.1)) as response:
        next(response.iter_content(1))
    wr.wait_for_request(kind=kind)
    until(lambda: count_tasks(wr) == tasks, "the tasks of the request to end", 60, 0.01)
    assert wr.streams(execution_id) == 0


def count_tasks(wr: Emulator) -> int:
    """Return the number of tasks in the emulator's event loop, where the output function of a script runs."""

    def output(_inputs: Any, _config: Any) -> int:
        return len(asyncio.all_tasks())

    output_of: int = wr.execution(wr.create_execution("TASKS", output=output))["output"]
    return output_of
