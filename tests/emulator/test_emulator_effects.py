"""Each effect over a real socket, told from Python and over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.emulator.effects import EFFECTS
from dev.harness.airflow_api import until

RECORD = "/v1/sdk/components/executions/{}"
ALL = ["CREATED", "EXECUTING", "COMPLETED"]
PATIENCE = 10
HASTE = 0.3
"""Seconds without a byte, where some are to come and where none are."""


@dataclass
class Seen:
    """What a client saw of an answer."""

    id: str
    status: int | None
    headers: Any
    body: bytes
    error: str

    @property
    def events(self) -> list[bytes]:
        return [part.removeprefix(b"data: ") for part in self.body.split(b"\n\n") if part.startswith(b"data: ")]

    @property
    def statuses(self) -> list[str]:
        return [json.loads(event)["status"] for event in self.events]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def see(ask: Callable[[], requests.Response], execution_id: str, meanwhile: Callable[[], object]) -> Seen:
    """Ask, let something happen after the headers, and read what there is."""
    seen = Seen(execution_id, None, {}, b"", "")
    try:
        with ask() as response:
            seen.status, seen.headers = response.status_code, response.headers
            meanwhile()
            # In the pieces that arrive, or byte by byte: what comes before an error is not to be lost.
            for piece in response.iter_content(None if response.raw.chunked else 1):
                seen.body += piece
    except requests.RequestException as error:
        seen.error = str(error)
    return seen


def told(effect: effects.Effect, **matching: Any) -> dict[str, Any]:
    """Return a fault as the control endpoint takes it."""
    values = {item.name: getattr(effect, item.name) for item in fields(effect)}
    text = {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
    return {"effect": type(effect).__name__.lower(), **text, **matching}


@pytest.fixture(params=["python", "http"])
def add(request, wr, client) -> Callable[..., None]:
    def fault(effect: effects.Effect, **matching: Any) -> None:
        if request.param == "python":
            wr.fault(effect, **matching)
        else:
            client.control("faults", told(effect, **matching))

    return fault


def patience_with(effect: effects.Effect) -> float:
    """Return after how many seconds to call it stuck."""
    stops = isinstance(effect, effects.Hold | effects.Silence | effects.Linger)
    return HASTE if stops or getattr(effect, "seconds", 0) > HASTE else PATIENCE


def follow(wr, client, meanwhile: Callable[[str], object] | None = None, timeout: float = PATIENCE) -> Seen:
    """Follow an execution through all that it does."""
    execution_id = wr.create_execution("X", manual=True)

    def play() -> None:
        wr.start(execution_id)
        wr.complete(execution_id, {"x": 1})

    return see(
        lambda: client.stream(execution_id, timeout=timeout),
        execution_id,
        play if meanwhile is None else lambda: meanwhile(execution_id),
    )


def read(wr, client, timeout: float = PATIENCE) -> Seen:
    """Read the record of an execution that has ended."""
    execution_id = ended(wr, {"x": 1})
    path = RECORD.format(execution_id)
    return see(lambda: client.get(path, stream=True, timeout=timeout), execution_id, lambda: None)


def ended(wr, output: Any) -> str:
    """Return the id of an execution that has ended."""
    execution_id = wr.create_execution("X", manual=True)
    wr.complete(execution_id, output)
    return execution_id


def is_reset(seen: Seen) -> bool:
    return "reset by peer" in seen.error


def ends_early(seen: Seen) -> bool:
    words = ("ended prematurely", "IncompleteRead", "InvalidChunkLength")  # as the version of urllib3 has it
    return any(word in seen.error for word in words)


STREAMS: list[tuple[effects.Effect, Callable[[Seen], object]]] = [
    (effects.Answer(503, {"message": "no"}), lambda seen: (seen.status, seen.json) == (503, {"message": "no"})),
    (effects.Reset("request"), lambda seen: seen.status is None and is_reset(seen)),
    (effects.Reset(), lambda seen: seen.status is None and is_reset(seen)),
    (effects.Reset("body"), lambda seen: seen.status == 200 and not seen.body and is_reset(seen)),
    (effects.Reset("body", events=2), lambda seen: seen.statuses == ALL[:2] and is_reset(seen)),
    (effects.Reset("body", events=1, extra=20), lambda seen: len(seen.events[1]) == 14 and is_reset(seen)),
    (effects.Close(), lambda seen: seen.status == 200 and not seen.body and not seen.error),
    (effects.Close(events=2), lambda seen: seen.statuses == ALL[:2] and not seen.error),
    (effects.Close(events=9), lambda seen: seen.statuses == ALL and not seen.error),
    (effects.Close(events=1, extra=20), lambda seen: len(seen.events[1]) == 14 and not seen.error),
    (effects.Close(events=2, clean=False), lambda seen: seen.statuses == ALL[:2] and ends_early(seen)),
    (effects.Close(events=1, extra=20, clean=False), lambda seen: len(seen.events[1]) == 14 and ends_early(seen)),
    (effects.Silence(), lambda seen: seen.status == 200 and not seen.body and "timed out" in seen.error),
    (effects.Silence(events=1), lambda seen: seen.statuses == ALL[:1] and "timed out" in seen.error),
    (effects.Silence(events=1, extra=20), lambda seen: len(seen.events[1]) == 14 and "timed out" in seen.error),
    (effects.Linger(None), lambda seen: seen.statuses == ALL and "timed out" in seen.error),
    (effects.Split([3, 40, 1]), lambda seen: seen.statuses == ALL),
    (effects.Split([100], interval=0.01), lambda seen: seen.statuses == ALL),
    (effects.Delay(0.01), lambda seen: seen.statuses == ALL),
    (effects.Delay(0.01, before=True), lambda seen: seen.statuses == ALL),
    (effects.Postpone(0.01), lambda seen: seen.statuses == ALL),
    (effects.Postpone(5, event=2), lambda seen: seen.statuses == ALL[:1] and "timed out" in seen.error),
    (effects.Postpone(5, event="terminal"), lambda seen: seen.statuses == ALL[:2] and "timed out" in seen.error),
    (effects.Drop(), lambda seen: not seen.body and not seen.error),
    (effects.Drop(2), lambda seen: seen.statuses == ["CREATED", "COMPLETED"]),
    (effects.Drop("terminal"), lambda seen: seen.statuses == ALL[:2] and not seen.error),
    (effects.Duplicate(), lambda seen: seen.statuses == [status for status in ALL for _ in range(2)]),
    (effects.Duplicate(2), lambda seen: seen.statuses == ["CREATED", "EXECUTING", "EXECUTING", "COMPLETED"]),
    (effects.Duplicate("terminal"), lambda seen: seen.statuses == [*ALL, "COMPLETED"] and not seen.error),
    (effects.Swap(), lambda seen: seen.statuses == ["EXECUTING", "CREATED", "COMPLETED"]),
    (effects.Swap(2), lambda seen: seen.statuses == ["CREATED", "COMPLETED", "EXECUTING"]),
    (effects.Swap(3), lambda seen: seen.statuses == ALL),
    (effects.Replace("{garbage", 2), lambda seen: seen.events[1] == b"{garbage" and len(seen.events) == 3),
    (effects.Replace([1], "terminal"), lambda seen: seen.events[2] == b"[1]"),
    (effects.Inject("data: {garbage\n\n", events=1), lambda seen: seen.events[1] == b"{garbage"),
    (effects.Inject(b": hello\n\n"), lambda seen: seen.body.startswith(b": hello\n\ndata:") and seen.statuses == ALL),
    (effects.Inject("\0", events=1, extra=8), lambda seen: seen.events[1].startswith(b'{"\0id"')),
    (effects.Alter({"status": "PAUSED"}, 2), lambda seen: seen.statuses == ["CREATED", "PAUSED", "COMPLETED"]),
    (effects.Alter({"id": "other"}), lambda seen: {json.loads(event)["id"] for event in seen.events} == {"other"}),
    (effects.Alter(event="terminal", without=["output"]), lambda seen: "output" not in json.loads(seen.events[2])),
    (effects.Enlarge(2_000_000), lambda seen: [len(event) > 10**6 for event in seen.events] == [False, False, True]),
    (effects.Enlarge(2_000_000, 1), lambda seen: json.loads(seen.events[0])["output"] == "x" * 2_000_000),
]

RECORDS: list[tuple[effects.Effect, Callable[[Seen], object]]] = [
    (effects.Answer(200, "<html>hello</html>"), lambda seen: "text/html" in seen.headers["Content-Type"]),
    (effects.Answer(302, headers={"Location": "http://other.invalid/"}), lambda seen: seen.headers["Location"]),
    (effects.Answer(503, process=True), lambda seen: seen.status == 503),
    (effects.Answer(429, retry_after=7), lambda seen: seen.headers["Retry-After"] == "7"),
    (effects.Delay(5), lambda seen: seen.status is None and "timed out" in seen.error),
    (effects.Hold(), lambda seen: seen.status is None and "timed out" in seen.error),
    (effects.Hold(before=True), lambda seen: seen.status is None and "timed out" in seen.error),
    (effects.Reset("body", extra=10), lambda seen: len(seen.body) == 10 and is_reset(seen)),
    (effects.Reset("body", extra=9999), lambda seen: seen.json["id"] == seen.id),
    (effects.Close(extra=10, clean=False), lambda seen: len(seen.body) == 10 and ends_early(seen)),
    (effects.Silence(), lambda seen: seen.status == 200 and not seen.body and "timed out" in seen.error),
    (effects.Silence(extra=10), lambda seen: len(seen.body) == 10 and "timed out" in seen.error),
    (effects.Split(), lambda seen: seen.json["id"] == seen.id),
    (effects.Truncate(5), lambda seen: seen.body.startswith(b'{"id"') and b"}" not in seen.body[-2:]),
    (effects.Alter({"status": "PAUSED"}), lambda seen: (seen.json["status"], seen.json["id"]) == ("PAUSED", seen.id)),
    (effects.Alter(without=["output"]), lambda seen: "output" not in seen.json),
    (effects.Enlarge(10_000), lambda seen: seen.json["output"] == "x" * 10_000),
    (effects.Enlarge(0), lambda seen: seen.json["output"] == ""),
]


def named(value: object) -> str:
    """Return how a case is called: by its effect alone."""
    return repr(value) if isinstance(value, effects.Effect) else ""


def test_every_effect_is_tried() -> None:
    """An effect without a case below, or one that the control endpoints don't know, is noticed."""
    tried = {type(effect) for effect, _ in STREAMS + RECORDS}
    public = {getattr(effects, name) for name in effects.__all__ if name != "EFFECTS"}
    concrete = {kind for kind in public if issubclass(kind, effects.Effect)} - {effects.Effect}
    assert tried == set(EFFECTS.values()) == concrete - {effects.Events}


@pytest.mark.parametrize(("effect", "expected"), STREAMS, ids=named)
def test_streams(wr, client, add, effect, expected):
    """The first stream sees the fault, and the next one nothing of it."""
    add(effect, kind="stream")
    seen = follow(wr, client, timeout=patience_with(effect))
    assert expected(seen), seen
    assert follow(wr, client).statuses == ALL


@pytest.mark.parametrize(("effect", "expected"), RECORDS, ids=named)
def test_records(wr, client, add, effect, expected):
    """The first read sees the fault, and the next one nothing of it."""
    add(effect, kind="record")
    seen = read(wr, client, timeout=patience_with(effect))
    assert expected(seen), seen
    assert read(wr, client).json["output"] == {"x": 1}


@pytest.mark.parametrize("effect", [effect for effect, _ in STREAMS if effect.streams], ids=repr)
def test_other_streams_at_the_same_time(wr, client, effect):
    """A stream of the same execution that is open at the same time is as it should be."""
    wr.fault(effect, kind="stream")
    bodies = []

    def meanwhile(execution_id: str) -> None:
        with client.stream(execution_id) as second:
            wr.start(execution_id)
            wr.complete(execution_id, {"x": 1})
            bodies.append(Seen(execution_id, 200, {}, second.content, ""))

    follow(wr, client, meanwhile, timeout=patience_with(effect))
    assert bodies[0].statuses == ALL
    assert json.loads(bodies[0].events[2])["output"] == {"x": 1}


@pytest.mark.parametrize("effect", [effect for effect, _ in STREAMS if effect.streams], ids=repr)
def test_a_stream_that_is_refused(wr, client, effect):
    """Where a stream's request is answered with an error, there is nothing for the effect to do."""
    wr.fault(effect, kind="stream")
    response = client.get(RECORD.format("none/stream"), timeout=PATIENCE)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "NOT_FOUND")


def test_an_effect_for_streams_leaves_other_requests_alone(wr, client):
    """Without a kind it waits for the first stream, and counts nothing else."""
    fault = wr.fault(effects.Drop("terminal"))
    assert read(wr, client).json["status"] == "COMPLETED"
    assert fault.hits == 0
    assert follow(wr, client).statuses == ALL[:2]
    assert fault.hits == 1


@pytest.mark.parametrize(
    ("effect", "kind"),
    [
        (effects.Drop(3), "record"),
        (effects.Close(), "submit"),
        (effects.Reset("body", events=1), "record"),
        (effects.Alter({}, 1), "record"),
        (effects.Truncate(), "stream"),
        (effects.Answer(500, process=True), "run_stream"),
    ],
    ids=repr,
)
def test_an_effect_at_a_place_where_it_makes_no_sense(wr, effect, kind):
    """It is refused when it is added, with the kinds that it is for."""
    with pytest.raises(ValueError, match=f"can't befall kind='{kind}', only "):
        wr.fault(effect, kind=kind)
    refusal = requests.post(f"{wr.url}/_emulator/faults", json=told(effect, kind=kind), timeout=10)
    assert (refusal.status_code, "can't befall" in refusal.text) == (422, True)


@pytest.mark.parametrize(
    "body",
    [
        {"effect": "drop", "event": 0},
        {"effect": "drop", "event": "last"},
        {"effect": "swap", "event": 0},
        {"effect": "swap", "event": "terminal"},
        {"effect": "postpone", "seconds": -1},
        {"effect": "delay", "seconds": "long"},
        {"effect": "delay", "seconds": -1},
        {"effect": "reset", "when": "later"},
        {"effect": "reset", "events": 1},
        {"effect": "close", "extra": -1},
        {"effect": "inject", "data": 5},
        {"effect": "linger", "ping_interval": 0},
        {"effect": "split", "interval": -1},
        {"effect": "truncate", "drop": 0},
        {"effect": "enlarge", "size": -1},
        {"effect": "alter", "changes": 5},
        {"effect": "answer", "status": 999},
        {"effect": "answer", "status": 100},
        {"effect": "answer", "status": 429, "retry_after": 1, "retry_at": 1},
        {"effect": "answer", "status": 500, "skip": -1},
        {"effect": "answer", "status": 500, "times": "often"},
        {"effect": "events", "change": "x"},
    ],
    ids=repr,
)
def test_impossible_effects_are_refused(wr, body):
    """Nothing that could only go wrong later is let in."""
    assert requests.post(f"{wr.url}/_emulator/faults", json=body, timeout=10).status_code == 422


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(("skip", "times"), [(0, 1), (2, 1), (0, None)], ids=["first", "third", "every"])
def test_any_refusal_on_any_request(wr, client, add, status, skip, times):
    """On the first, on the third, or on every one."""
    add(effects.Answer(status), kind="record", skip=skip, times=times)
    done = wr.create_execution("X")
    seen = [client.get(RECORD.format(done)).status_code for _ in range(4)]
    assert [number for number, answer in enumerate(seen) if answer == status] == (
        [skip] if times else list(range(skip, 4))
    )


def test_retry_after_as_a_date(wr, client, add):
    """The date is on the emulator's clock, as that of ``Date`` is."""
    wr.clock_offset = 1000
    add(effects.Answer(429, retry_at=60))
    headers = client.get(RECORD.format("x")).headers
    moment, now = (parsedate_to_datetime(headers[name]) for name in ("Retry-After", "Date"))
    assert 59 <= (moment - now).total_seconds() <= 60


def test_events_by_a_function(wr, client):
    """A function may send anything for an event, and may change what it is given."""
    numbers = []

    def change(number: int, event: dict[str, Any]) -> list[Any]:
        numbers.append(number)
        event["status"] = event["status"].lower()
        return [event, "{garbage", b": comment\n\n"] if number == 1 else [] if number == 2 else [event]

    wr.fault(effects.Events(change), kind="stream")
    seen = follow(wr, client)
    assert numbers == [1, 2, 3]
    assert [json.loads(seen.events[0])["status"], seen.events[1]] == ["created", b"{garbage"]
    assert b"\n\n: comment\n\n" in seen.body
    assert json.loads(seen.events[2])["status"] == "completed"
    assert follow(wr, client).statuses == ALL


def test_effects_upon_effects(wr, client, add):
    """What is added later counts the events that the earlier ones send, in whatever pieces."""
    add(effects.Drop(1), kind="stream")
    add(effects.Alter({"status": "PAUSED"}, 1), kind="stream")
    add(effects.Split(), kind="stream")
    add(effects.Close(events=1), kind="stream")
    seen = follow(wr, client)
    assert (seen.statuses, seen.error) == (["PAUSED"], "")


def test_the_terminal_event_is_lost_and_the_stream_goes_on(wr, client, add):
    """Only pings tell that the other side is there."""
    wr.stream_options(ping_interval=None)
    add(effects.Drop("terminal"), kind="stream")
    add(effects.Linger(0.01), kind="stream")
    with client.stream(execution_id := ended(wr, 1)) as stream:
        assert stream.raw.read(14) == b":ping\n\n:ping\n\n"
    wr.wait_for_stream(execution_id, count=0)


def test_the_stream_of_a_run(wr, client, add):
    """Its events are chosen and changed as those of an execution are."""
    wr.script_workflow("flow", [{"module": "A", "manual": True}])
    run_id = wr.create_run("flow")
    add(effects.Alter({"status": "PAUSED"}, event=1), kind="run_stream")
    add(effects.Drop("terminal"), kind="run_stream")

    def play() -> None:
        wr.start_stage(run_id, 0)
        wr.complete_stage(run_id, 0)

    path = "/v1/sdk/workflows/executions"
    seen = see(lambda: client.stream(run_id, path, timeout=PATIENCE), run_id, play)
    assert seen.statuses[0] == "PAUSED"
    assert "COMPLETED" not in seen.statuses
    assert not seen.error
    assert client.get(f"{path}/{run_id}").json()["status"] == "COMPLETED"


def test_newlines_stay_as_they_are(wr, client):
    """An event that is changed ends as the stream's others do."""
    wr.stream_options(newline="\r\n")
    wr.fault(effects.Alter({"status": "PAUSED"}), kind="stream")
    body = client.stream(client.submit()["id"]).content
    assert body.endswith(b"}\r\n\r\n")
    assert b"PAUSED" in body


def test_bytes_take_their_time(wr, client):
    """Pieces arrive one by one."""
    wr.fault(effects.Split([50], interval=0.05), kind="stream")
    with client.stream(ended(wr, 1)) as stream:
        arrivals = [time.monotonic() for _piece in stream.raw.read_chunked()]
    assert len(arrivals) >= 3
    assert all(later - earlier > 0.01 for earlier, later in pairwise(arrivals))


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
def test_a_client_that_leaves_leaves_nothing_behind(wr, client, effect, kind):
    """In the middle of any fault: not a task in the emulator's loop, and nobody who follows."""
    tasks = running(wr)
    wr.fault(effect, kind=kind)
    execution_id = ended(wr, 1)
    path = RECORD.format(execution_id) + ("/stream" if kind == "stream" else "")
    with suppress(requests.RequestException), client.get(path, stream=True, timeout=(5, 0.1)) as response:
        next(response.iter_content(1))
    wr.wait_for_request(kind=kind)
    until(lambda: running(wr) == tasks, "nothing is left", 5, 0.01)
    assert wr.streams(execution_id) == 0


def running(wr: Emulator) -> int:
    """Return how many tasks there are in the emulator's loop."""
    return wr._call(lambda: len(asyncio.all_tasks()))


@pytest.mark.parametrize("scripted", [True, False])
def test_an_output_of_50_megabytes(wr, client, scripted):
    """While one client takes its time with it, others are served."""
    size = 50_000_000
    execution_id = ended(wr, "x" * size if scripted else 1)
    if not scripted:
        wr.fault(effects.Enlarge(size), kind="record")
    with client.get(RECORD.format(execution_id), stream=True) as response:
        assert response.raw.read(7) == b'{"id":"'
        assert [read(wr, client).status for _ in range(3)] == [200] * 3
        rest = response.raw.read()
    assert rest.count(b"x") >= size
    assert len(json.loads(b'{"id":"' + rest)["output"]) == size
