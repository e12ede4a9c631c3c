"""Event streams that are late, silent, refused, endless or far too large, and events that contradict the record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from dev.proofs.hostile.case import Case, Play
from dev.proofs.hostile.cases.events import END, MEANING, PARSING, stream
from dev.proofs.hostile.cases.json_texts import BOTH, HOSTILE
from dev.proofs.hostile.cases.plays import DRIBBLE, OK, broken, endless, heavy, leave, lenient, say, valid
from dev.proofs.hostile.cases.statuses import error
from dev.proofs.hostile.peer import Peer, head
from dev.proofs.hostile.server import event_of

if TYPE_CHECKING:
    from dev.proofs.hostile.server import Server

STREAM = "White Rabbit API, Stream"
FETCH = "WHATWG HTML, 9.2.3"
_HEAD = OK + "Content-Type: text/event-stream\r\nConnection: close\r\n\r\n"
AT_ONCE = 0.0
"""No pause between two pieces of a stream, so that there are always bytes to read."""

_PING = ":ping\n\n"
_BUSY = {"errors": [{"code": "BUSY", "message": "slow down"}]}


def _survived(name: str, clause: str, play: Play, **more: Any) -> Case:
    return broken(name, clause, play, "stream", **more)


def _data(state: str = "EXECUTING", /, **members: Any) -> Play:
    """Return the play of a stream with one event that is not as it should be, and then silence."""

    def play(peer: Peer, server: Server) -> None:
        peer.send(head("Content-Type: text/event-stream", "Connection: close"))
        peer.send(b"data: " + server.event(state, **members) + b"\n\n")
        leave(peer, "hold")

    return play


def _many(event: Callable[[Server, int], bytes], count: int, last: str | None = "COMPLETED") -> Play:
    """Return the play of many events, as fast as the client reads them.

    :param event: returns the JSON of an event with its number.
    :param last: the status of the last event; None for no further event.
    """

    def play(peer: Peer, server: Server) -> None:
        peer.send(head("Content-Type: text/event-stream", "Connection: close"))
        for start in range(0, count, 100):
            numbers = range(start, min(count, start + 100))
            peer.send(b"".join(b"data: " + event(server, number) + b"\n\n" for number in numbers))
        if last is not None:
            peer.send(b"data: " + server.event(last) + b"\n\n")
        leave(peer, "hold")

    return play


def _progress(server: Server, number: int) -> bytes:
    """Return an event of a run whose progress differs from that of every other event."""
    open_stages = [{"id": "s", "module": "PAY", "status": "RUNNING"}] * (number % 7)
    return server.event("EXECUTING", output={"totalUsage": number, "nonTerminalStages": open_stages})


@cache
def _event_with_stages() -> bytes:
    stage = {"module": "PAY", "status": "RUNNING", "executionEventId": "e" * 36, "executionAttempt": 1}
    stages = [{"id": f"s{number}", **stage} for number in range(4000)]
    return json.dumps(event_of("run", "EXECUTING", output={"totalUsage": -1, "nonTerminalStages": stages})).encode()


def _open_stages(server: Server, number: int) -> bytes:
    """Return an event of a run with 4,000 open stages."""
    return _event_with_stages().replace(b"-1", b"%d" % number, 1)


def _late_head(seconds: float) -> Play:
    """Return the play of a server that sends the head together with the first ping."""

    def play(peer: Peer, server: Server) -> None:
        peer.pause(seconds)
        stream(b":ping\n\n" + END)(peer, server)

    return play


def _hostile() -> Iterator[Case]:
    for name, text in HOSTILE.items():
        for member in ("status", "id"):
            play = _data(**{member: f"PAUSED{text}"})
            yield _survived(f"an event whose {member} has {name}", STREAM, play, targets=BOTH)


def _refused() -> Iterator[Case]:
    for status, fields in (
        ("429 Too Many Requests", ("Retry-After: 1",)),
        ("503 Service Unavailable", ("Retry-After: 1",)),
        ("404 Not Found", ()),
        ("405 Method Not Allowed", ()),
        ("406 Not Acceptable", ()),
        ("501 Not Implemented", ()),
    ):
        yield _survived(f"{status[:3]} for each stream", FETCH, error(_BUSY, status, *fields), times=None)


CASES = (
    # Opening.
    _survived(
        "a head that is late by 15 s, after the end",
        FETCH,
        _late_head(15),
        ways=("trigger",),
        ends="before",
        within=5.0,
        request_timeout=20.0,
        timeout=30.0,
        targets=BOTH,
    ),
    _survived(
        "a head that never comes, after the end",
        FETCH,
        say("", "hold"),
        ways=("trigger",),
        ends="before",
        within=5.0,
        request_timeout=20.0,
        timeout=30.0,
        times=None,
    ),
    _survived("a head that is late by 5 s, before the end", FETCH, _late_head(5), request_timeout=10.0),
    _survived(
        "a head that dribbles, after the end",
        "RFC 9112, 2.1",
        endless(OK + "X-Filler: ", "y", DRIBBLE),
        ways=("trigger",),
        ends="before",
        within=5.0,
        request_timeout=20.0,
        timeout=30.0,
        times=None,
    ),
    _survived("no content type", FETCH, say(OK + "Connection: close\r\n\r\n" + _PING, "hold")),
    _survived("a page", FETCH, say(OK + "Content-Type: text/html\r\nConnection: close\r\n\r\n<html>", "hold")),
    _survived("JSON", FETCH, say(OK + "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")),
    _survived("204 No Content", FETCH, say("HTTP/1.1 204 No Content\r\n\r\n"), times=None),
    _survived(
        "a redirect", FETCH, say("HTTP/1.1 307 No\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n"), times=None
    ),
    valid(
        "a content type with parameters",
        FETCH,
        say(OK + 'Content-Type: text/event-stream;a="b"\r\n\r\n{body}', "hold"),
        "stream",
    ),
    valid(
        "a content type in upper case",
        "RFC 9110, 8.3.1",
        say(OK + "Content-Type: TEXT/EVENT-STREAM\r\n\r\n{body}", "hold"),
        "stream",
    ),
    *_refused(),
    # Silence.
    _survived("silence after the head", STREAM, say(_HEAD, "hold")),
    _survived("pings alone", STREAM, endless(_HEAD, _PING, DRIBBLE)),
    _survived("pings as data alone", STREAM, endless(_HEAD, "data: :ping\n\n", DRIBBLE)),
    _survived("a comment that dribbles", PARSING, endless(_HEAD + ":", "p", DRIBBLE)),
    _survived("data that dribble", PARSING, endless(_HEAD + "data: ", "{", DRIBBLE)),
    _survived("the end at once, each time", STREAM, say(_HEAD, "close"), times=None, targets=BOTH),
    _survived("a reset at once, each time", STREAM, say(_HEAD, "reset"), times=None),
    Case(
        "silence, and no end before the deadline",
        STREAM,
        say(_HEAD, "hold"),
        stream="timeout",
        times=None,
        ends="never",
        timeout=3.0,
        targets=BOTH,
    ),
    Case(
        "pings, and no end before the deadline",
        STREAM,
        endless(_HEAD, _PING, DRIBBLE),
        stream="timeout",
        times=None,
        ends="never",
        timeout=3.0,
    ),
    # Contents.
    _survived("an unknown status", STREAM, _data(status="PAUSED"), targets=BOTH),
    _survived("a status that is a number", STREAM, _data(status=1), targets=BOTH),
    _survived("no id", STREAM, _data(id=None), targets=BOTH),
    _survived(
        "the end of another execution", STREAM, _data("FAILED", id="00000000-0000-0000-0000-000000000007"), targets=BOTH
    ),
    _survived("an end without output and error", STREAM, stream(b'data: {"status": "FAILED"}\n\n'), targets=BOTH),
    *_hostile(),
    valid("the same event 1,000 times", STREAM, stream(b"data: %X\n\n" * 1000 + END), "stream", targets=BOTH),
    lenient("an event after the end", STREAM, stream(END + b"data: %X\n\n", "close"), "stream", targets=BOTH),
    # Volume.
    *heavy(
        valid(
            "40,000 events of progress",
            STREAM,
            _many(_progress, 40_000),
            "stream",
            targets=("run",),
            timeout=30.0,
            max_lines=60,
        ),
        valid(
            "200 events with 4,000 open stages",
            STREAM,
            _many(_open_stages, 200),
            "stream",
            targets=("run",),
            timeout=40.0,
            is_heavy=True,
        ),
        _survived("an event of 2 MB", MEANING, stream(b'data: "' + b"x" * 2_000_000 + b'"\n\n')),
        _survived("an event without end", PARSING, endless(_HEAD + "data: ", "x" * 65536, AT_ONCE)),
        _survived("a comment without end", PARSING, endless(_HEAD + ":", "x" * 65536, AT_ONCE)),
        _survived("data lines without end", PARSING, endless(_HEAD, "data: x\n" * 8000, AT_ONCE)),
        _survived("comments without end", PARSING, endless(_HEAD, ":\n" * 30_000, AT_ONCE), timeout=30.0),
        _survived("blank lines without end", PARSING, endless(_HEAD, "\n" * 60_000, AT_ONCE), timeout=30.0),
        _survived("events without end", PARSING, endless(_HEAD, "data: 1\n\n" * 7000, AT_ONCE), timeout=30.0),
    ),
)
