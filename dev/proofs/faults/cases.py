"""The faults, and the specification of how a task must end under each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.effects import (
    Alter,
    Answer,
    Close,
    Delay,
    Drop,
    Duplicate,
    Effect,
    Inject,
    Linger,
    Postpone,
    Replace,
    Reset,
    Silence,
    Split,
    Swap,
    Truncate,
)
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate

Verdict = Literal["output", "error", "final", "uncertain", "timeout"]

OUTPUT = {"paid": "12.5"}

FIRST, STREAM, RECORD, SERVICE = "The first request", "The stream", "The record", "The service"
"""What a fault affects. An operator's first request is its submission; a sensor's first request reads the record."""

OTHER_EXECUTION_ID = str(UUID(int=7))

Action = Callable[[Emulator], object]


def _do_nothing(_wr: Emulator) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """A fault and how tasks must end under it.

    :param about: what the fault affects: `FIRST`, `STREAM`, `RECORD` or `SERVICE`.
    :param effects: the effects that the emulator applies to the affected requests.
    :param times: number of requests that each effect applies to; None for all of them.
    :param before: called with the emulator before the task runs.
    :param meanwhile: called with the emulator while the task waits, before the execution ends.
    :param sensors: the verdict specified for sensors.
    :param operators: the verdict specified for operators.
    :param certificate: the certificate that the emulator serves HTTPS with; None for plain HTTP.
    :param output: the execution's output.
    :param timeout: the task's timeout in seconds.
    """

    about: str
    name: str
    effects: tuple[Effect, ...] = ()
    times: int | None = 2
    before: Action = _do_nothing
    meanwhile: Action = _do_nothing
    sensors: Verdict = "output"
    operators: Verdict = "output"
    certificate: Certificate | None = None
    output: Any = field(default_factory=lambda: OUTPUT)
    timeout: float = 60.0


def _first(name: str, effect: Effect, operators: Verdict, sensors: Verdict = "output", **more: Any) -> Case:
    return Case(FIRST, name, (effect,), 1, sensors=sensors, operators=operators, **more)


def _stream(name: str, *effects: Effect, **more: Any) -> Case:
    return Case(STREAM, name, effects, **more)


def _record(name: str, effect: Effect, verdict: Verdict = "output", **more: Any) -> Case:
    return Case(RECORD, name, (effect,), sensors=verdict, operators=verdict, **more)


def _untrusted(certificate: Certificate, name: str) -> Case:
    return Case(SERVICE, name, sensors="timeout", operators="error", certificate=certificate, timeout=3)


def _restart(wr: Emulator) -> None:
    wr.stop_server()
    wr.start_server()


def _clock(seconds: float) -> Action:
    def set_clock(wr: Emulator) -> None:
        wr.clock_offset = seconds

    return set_clock


HTML = "<html>maintenance</html>"
BUSY = {"code": "BUSY", "message": "slow down"}
OTHER_HOST = {"Location": "https://elsewhere.invalid/"}

CASES = (
    # The provider resends a submission only if White Rabbit has certainly not accepted it: never sent, or answered 429.
    Case(FIRST, "connection refused for 0.3 s", before=lambda wr: wr.pause(0.3)),
    _first("reset before the request is read", Reset("request"), "uncertain"),
    _first("reset before the answer's headers", Reset("answer"), "uncertain"),
    _first("reset within the answer", Reset("body", extra=9), "uncertain"),
    _first("closed within the answer", Close(extra=9, clean=False), "uncertain"),
    _first("no answer before the timeout", Silence(), "uncertain"),
    _first("answer after two seconds", Delay(2), "output"),
    _first("answer sent byte by byte", Split((1,), 0.002), "output"),
    _first("answer truncated", Truncate(20), "uncertain"),
    _first("HTML with 200", Answer(200, HTML), "uncertain"),
    _first("garbage with 200", Answer(200, '{"id": nonsense'), "uncertain"),
    _first("204", Answer(204), "uncertain"),
    _first("redirect to another host", Answer(307, headers=OTHER_HOST), "uncertain"),
    _first("HTML with 302", Answer(302, HTML), "uncertain"),
    _first("HTML with 401", Answer(401, HTML), "error"),
    _first("HTML with 403", Answer(403, HTML), "error"),
    _first("HTML with 404", Answer(404, HTML), "error"),
    _first("HTML with 409", Answer(409, HTML), "error"),
    _first("400", Answer(400, BUSY), "final", "final"),
    _first("401", Answer(401, BUSY), "final", "error"),
    _first("403", Answer(403, BUSY), "final", "error"),
    _first("404", Answer(404, BUSY), "final", "final"),
    _first("408", Answer(408, BUSY), "uncertain"),
    _first("429", Answer(429, BUSY), "output"),
    _first("429 with Retry-After in seconds", Answer(429, BUSY, retry_after=1), "output"),
    _first("429 with Retry-After as a date", Answer(429, BUSY, retry_at=2), "output"),
    _first("500", Answer(500, BUSY), "uncertain"),
    _first("500, although the request was processed", Answer(500, BUSY, process=True), "uncertain"),
    _first("502", Answer(502, HTML), "uncertain"),
    _first("503 with Retry-After", Answer(503, HTML, retry_after=1), "uncertain"),
    _first("504", Answer(504, HTML), "uncertain"),
    # If a stream fails in any way, the provider reads the record.
    _stream("reset before the request is read", Reset("request")),
    _stream("reset before the headers", Reset("answer")),
    _stream("reset within an event", Reset("body", events=1, extra=20)),
    _stream("reset between two events", Reset("body", events=1)),
    _stream("closed within an event", Close(events=1, extra=20, clean=False)),
    _stream("closed cleanly between two events", Close(events=1)),
    _stream("silent from the start", Silence()),
    _stream("silent after an event", Silence(events=1)),
    _stream("byte by byte", Split((1,), 0.002), times=None),
    _stream("every event late", Postpone(0.4), times=None),
    _stream("every event twice", Duplicate(), times=None),
    _stream("two events in the wrong order", Swap(1), times=None),
    _stream("terminal event lost, then closed", Drop("terminal"), times=None),
    _stream("terminal event lost, pings continue", Drop("terminal"), Linger(0.5), times=None),
    _stream("no event, then closed", Drop(), times=None),
    # An event that another one follows at once is not parsed, and does no harm: the stream goes on.
    _stream("garbage instead of JSON", Inject("data: {not json\n\n", events=1), times=1),
    _stream("bytes that are not UTF-8", Inject(b"data: \xff\xfe\n\n", events=1), times=1),
    _stream("unknown status", Replace({"status": "PAUSED"}, 1), times=1),
    _stream(
        "terminal event of another execution",
        Inject(f'data: {{"id": "{OTHER_EXECUTION_ID}", "status": "COMPLETED"}}\n\n', events=1),
        times=1,
    ),
    _stream("event larger than the limit", times=None, output="x" * 2_000_000),
    _stream("HTML with 200", Answer(200, HTML)),
    _stream("redirect to another host", Answer(302, headers=OTHER_HOST), times=None),
    _stream("HTML with 403", Answer(403, HTML)),
    _stream("HTML with 404 each time", Answer(404, HTML), times=None),
    _stream("headers after 2.5 seconds each time", Delay(2.5), times=None),
    _stream("401 each time", Answer(401, BUSY), times=None),
    _stream("403 each time", Answer(403, BUSY), times=None),
    _stream("404 each time", Answer(404, BUSY), times=None),
    _stream("429 with Retry-After", Answer(429, BUSY, retry_after=1)),
    _stream("500 each time", Answer(500, BUSY), times=None),
    _stream("503 twice", Answer(503, HTML)),
    # The record decides, if it is the API's. An unknown status is neither success nor failure.
    _record("reset before the headers", Reset("answer")),
    _record("reset within the record", Reset("body", extra=20)),
    _record("HTML with 200", Answer(200, HTML)),
    _record("429 with Retry-After", Answer(429, BUSY, retry_after=1)),
    _record("502", Answer(502, HTML)),
    _record("503", Answer(503, HTML)),
    _record("403", Answer(403, BUSY), "error"),
    *(_record(f"HTML with {status}", Answer(status, HTML)) for status in (302, 401, 403, 404, 405, 409, 425, 451)),
    _record("unknown status", Alter({"status": "PAUSED"})),
    _record("unknown status of an execution that has ended", Alter({"status": "PAUSED", "completed": True}), "error"),
    _record("completed, although the status is EXECUTING", Alter({"completed": True})),
    _record("not completed, although the status is COMPLETED", Alter({"completed": False}), times=None),
    _record("COMPLETED with an error", Alter({"error": "half of it"}), times=None),
    _record("record of another execution", Alter({"id": OTHER_EXECUTION_ID}), "error"),
    _record("record without a status", Alter(without=("status",)), "error"),
    _record("dates in an unknown format", Alter({"createdAt": {"seconds": 7}}), times=None),
    Case(RECORD, "output of 50 MB", output="x" * 50_000_000),
    # The whole of White Rabbit.
    Case(SERVICE, "unreachable for two seconds", meanwhile=lambda wr: wr.pause(2)),
    Case(SERVICE, "restarted", meanwhile=_restart),
    Case(SERVICE, "all streams closed", meanwhile=Emulator.close_streams),
    Case(SERVICE, "clock 60 seconds ahead", before=_clock(60)),
    Case(SERVICE, "clock 60 seconds behind", before=_clock(-60)),
    Case(SERVICE, "clock 10 minutes ahead", before=_clock(600), sensors="error", operators="error"),
    _untrusted("unknown-ca", "certificate of an unknown authority"),
    _untrusted("self-signed", "self-signed certificate"),
    _untrusted("wrong-host", "certificate for another host"),
    _untrusted("expired", "expired certificate"),
)
