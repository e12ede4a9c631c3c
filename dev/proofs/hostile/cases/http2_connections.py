"""Misbehaviours of HTTP/2 that concern a whole connection: its greeting, its settings, its silence and its end."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from dev.proofs.hostile.case import Case
from dev.proofs.hostile.cases.http2_plays import (
    MANY,
    UNHURRIED,
    Step,
    after,
    again,
    amid,
    before,
    each_time,
    in_turn,
    instead,
    survived,
    understood,
    within,
)
from dev.proofs.hostile.cases.plays import DRIBBLE, FLOOD, HTML, heavy
from dev.proofs.hostile.http2_peer import ACK, MAX_ID, Http2Peer, Kind

_CODES = {
    "NO_ERROR": 0,
    "PROTOCOL_ERROR": 1,
    "INTERNAL_ERROR": 2,
    "FLOW_CONTROL_ERROR": 3,
    "SETTINGS_TIMEOUT": 4,
    "STREAM_CLOSED": 5,
    "FRAME_SIZE_ERROR": 6,
    "REFUSED_STREAM": 7,
    "CANCEL": 8,
    "COMPRESSION_ERROR": 9,
    "CONNECT_ERROR": 10,
    "ENHANCE_YOUR_CALM": 11,
    "INADEQUATE_SECURITY": 12,
    "HTTP_1_1_REQUIRED": 13,
    "an unknown code": 0xFFFFFFFF,
}
"""Error codes (RFC 9113, section 7)."""

MAX_STREAMS = 3
"""The setting SETTINGS_MAX_CONCURRENT_STREAMS."""


def _greeting(name: str, section: str, step: Step, **more: Any) -> Iterator[Case]:
    """Yield the cases of a connection that begins wrongly: once, and always, so that HTTP/1.1 must be used."""
    return each_time(survived(name, section, instead(step), "stream", is_greeting=True, **more))


def _http1(status: str, body: str = "") -> Step:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    return in_turn(lambda peer: peer.bytes(answer.encode()), Http2Peer.close)


def _greetings() -> Iterator[Case]:
    yield from _greeting("HTTP/1.1 400 after ALPN chose h2", "3.2", _http1("400 Bad Request"))
    yield from _greeting("a page of HTTP/1.1 after ALPN chose h2", "3.2", _http1("200 OK", HTML))
    yield from _greeting("nothing after ALPN chose h2", "3.4", Http2Peer.mute)
    yield from _greeting("the end at once", "3.4", Http2Peer.close)
    yield from _greeting("a reset at once", "3.4", Http2Peer.cut)
    yield from _greeting("garbage", "3.4", lambda peer: peer.bytes(bytes(range(256)) * 100))
    yield from _greeting("zeros", "3.4", lambda peer: peer.bytes(bytes(100_000)))
    yield from _greeting("the greeting of an SSH server", "3.4", lambda peer: peer.bytes(b"SSH-2.0-OpenSSH_9.6\r\n"))
    yield from _greeting("the preface of a client", "3.4", lambda peer: peer.bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
    yield from _greeting("PING before the settings", "3.4", lambda peer: peer.frame(Kind.PING, 0, bytes(8)))
    yield from _greeting("GOAWAY before the settings", "6.8", lambda peer: peer.go_away(0))
    http1_required = in_turn(Http2Peer.settings, lambda peer: peer.go_away(0, 13))
    yield from _greeting("GOAWAY with HTTP_1_1_REQUIRED", "6.8", http1_required)
    yield from _greeting("settings that allow no stream", "6.5.2", lambda peer: peer.settings((MAX_STREAMS, 0)))
    yield from _greeting("settings on a stream", "6.5", lambda peer: peer.frame(Kind.SETTINGS, stream=1))
    yield from _greeting("settings of 5 bytes", "6.5", lambda peer: peer.frame(Kind.SETTINGS, 0, bytes(5)))
    yield from _greeting("settings that enable push", "6.5.2", lambda peer: peer.settings((2, 1)))
    yield from _greeting("a window of 4 GB", "6.5.2", lambda peer: peer.settings((4, 0xFFFFFFFF)))
    yield from _greeting("frames of 1 byte at most", "6.5.2", lambda peer: peer.settings((5, 1)))
    yield from _greeting("a frame of 16 MB", "4.2", lambda peer: peer.bytes(b"\xff\xff\xff" + bytes(100_000)))
    yield from heavy(
        *_greeting("settings without end", "10.5", again(lambda peer: peer.settings(times=MANY), FLOOD), **UNHURRIED)
    )


def _announce_end(peer: Http2Peer) -> None:
    """Send the GOAWAY of a server that will shut down, and still takes requests."""
    peer.go_away(MAX_ID)


def _go_away_and_close(code: int) -> Step:
    return in_turn(lambda peer: peer.go_away(peer.stream, code), Http2Peer.close)


def _error_codes() -> Iterator[Case]:
    for name, code in _CODES.items():
        yield survived(f"RST_STREAM with {name}", "6.4", instead(partial(Http2Peer.reset, code=code)))
        yield survived(f"RST_STREAM with {name}, within", "6.4", within(partial(Http2Peer.reset, code=code)))
        yield survived(
            f"GOAWAY with {name}, not processed", "6.8", instead(partial(Http2Peer.go_away, last=0, code=code))
        )
        yield survived(f"GOAWAY with {name}, then the end", "6.8", within(_go_away_and_close(code)))


_PING = (Kind.PING, 0, b"12345678")


def _later(step: Step) -> Step:
    return lambda peer: peer.later(1.0, lambda: step(peer))


def _many_waits() -> Iterator[Case]:
    """Yield what happens to a connection with a hundred waits on it, shortly after they have begun."""
    for name, section, step in (
        ("silence", "6.7", Http2Peer.mute),
        ("the end", "9.1", Http2Peer.close),
        ("a TCP reset", "9.1", Http2Peer.cut),
        ("GOAWAY, then the end", "6.8", in_turn(_announce_end, Http2Peer.close)),
        ("GOAWAY, nothing processed", "6.8", lambda peer: peer.go_away(0)),
        ("garbage", "4.1", lambda peer: peer.bytes(b"\xff" * 100_000)),
    ):
        options: dict[str, Any] = {
            "waits": 100,
            "timeout": 30.0,
            "within": 20.0,
            "max_lines": 1000,
            "recheck_after": 10.0,
        }
        yield survived(
            f"{name}, with a hundred waits", section, after(_later(step)), "record", request_timeout=5.0, **options
        )


def _floods() -> Iterator[Case]:
    for name, section, step in (
        ("PING", "6.7", lambda peer: peer.frame(*_PING, stream=0, times=MANY)),
        ("SETTINGS", "6.5", lambda peer: peer.settings(times=MANY)),
        ("changes of the settings", "6.5", lambda peer: peer.settings((MAX_STREAMS, 2), (1, 0), times=MANY)),
        ("GOAWAY", "6.8", lambda peer: peer.go_away(MAX_ID, times=MANY)),
        ("WINDOW_UPDATE", "6.9", lambda peer: peer.frame(Kind.WINDOW_UPDATE, 0, b"\0\0\0\1", stream=0, times=MANY)),
        ("unknown frames", "5.5", lambda peer: peer.frame(Kind.UNKNOWN, times=MANY)),
        ("ALTSVC", "RFC 7838, 4", lambda peer: peer.frame(Kind.ALTSVC, 0, bytes(2), times=MANY)),
    ):
        yield survived(f"{name} without end", section, instead(again(step, FLOOD)), **UNHURRIED)


CASES: tuple[Case, ...] = (
    # The greeting.
    *_greetings(),
    # The end of a stream, and of a connection.
    *_error_codes(),
    understood("GOAWAY for later, then the answer", "6.8", before(_announce_end)),
    understood("GOAWAY within the answer", "6.8", amid(lambda peer: peer.go_away(peer.stream))),
    understood(
        "GOAWAY in two steps",
        "6.8",
        amid(in_turn(_announce_end, lambda peer: peer.go_away(peer.stream))),
    ),
    understood("GOAWAY with 10,000 bytes of text", "6.8", before(lambda peer: peer.go_away(MAX_ID, 0, b"x" * 10_000))),
    survived(
        "GOAWAY whose last stream rises",
        "6.8",
        instead(in_turn(lambda peer: peer.go_away(0), _announce_end)),
    ),
    survived("GOAWAY of 7 bytes", "6.8", instead(lambda peer: peer.frame(Kind.GOAWAY, 0, bytes(7), stream=0))),
    survived("GOAWAY on a stream", "6.8", instead(lambda peer: peer.frame(Kind.GOAWAY, 0, bytes(8)))),
    understood("RST_STREAM with NO_ERROR after the answer", "8.1", after(lambda peer: peer.reset(0))),
    survived("RST_STREAM of 3 bytes", "6.4", instead(lambda peer: peer.frame(Kind.RST_STREAM, 0, bytes(3)))),
    survived("RST_STREAM on stream 0", "6.4", instead(lambda peer: peer.frame(Kind.RST_STREAM, 0, bytes(4), stream=0))),
    survived(
        "RST_STREAM of an idle stream",
        "6.4",
        instead(lambda peer: peer.frame(Kind.RST_STREAM, 0, bytes(4), stream=9_999)),
    ),
    survived("RST_STREAM for each stream", "6.4", instead(Http2Peer.reset), "stream", times=None),
    survived("REFUSED_STREAM for each stream", "8.7", instead(lambda peer: peer.reset(7)), "stream", times=None),
    survived("the end before the answer", "9.1", instead(Http2Peer.close)),
    survived("the end within the answer", "9.1", within(Http2Peer.close)),
    survived("a TCP reset before the answer", "9.1", instead(Http2Peer.cut)),
    survived("a TCP reset within the answer", "9.1", within(Http2Peer.cut)),
    survived("HTTP/1.1 instead of frames", "4.1", instead(_http1("200 OK", HTML))),
    survived("garbage instead of frames", "4.1", instead(lambda peer: peer.bytes(bytes(range(256)) * 100))),
    survived("garbage within the answer", "4.1", within(lambda peer: peer.bytes(b"\xff" * 100_000))),
    # Silence.
    survived("a connection that falls silent", "6.7", instead(Http2Peer.mute)),
    survived("a connection that falls silent within the answer", "6.7", within(Http2Peer.mute)),
    survived("no answer on a connection that lives", "5.1", instead(lambda _: None)),
    survived("half an answer on a connection that lives", "5.1", within(lambda _: None)),
    *_many_waits(),
    survived("half a frame", "4.1", within(lambda peer: peer.bytes(b"\0\0\7"))),
    # Settings, windows and pings.
    understood("new settings within the answer", "6.5", amid(lambda peer: peer.settings((MAX_STREAMS, 7), (4, 1000)))),
    understood("an unknown setting", "6.5.2", before(lambda peer: peer.settings((0xFFFF, 0xFFFFFFFF)))),
    understood("no more streams from now on", "6.5.2", before(lambda peer: peer.settings((MAX_STREAMS, 0)))),
    understood("the end of HPACK's table", "6.5.2", amid(lambda peer: peer.settings((1, 0)))),
    understood("headers of 10 bytes at most", "6.5.2", amid(lambda peer: peer.settings((6, 10))), "record"),
    understood("a PING within the answer", "6.7", amid(lambda peer: peer.frame(*_PING, stream=0))),
    understood("an answer to no PING", "6.7", amid(lambda peer: peer.frame(Kind.PING, ACK, bytes(8), stream=0))),
    understood(
        "a larger window",
        "6.9",
        amid(lambda peer: peer.frame(Kind.WINDOW_UPDATE, 0, b"\0\0\xff\xff", stream=0)),
    ),
    understood("an unknown frame", "5.5", amid(lambda peer: peer.frame(Kind.UNKNOWN, 0xFF, b"x" * 1000))),
    understood("ALTSVC", "RFC 7838, 4", amid(lambda peer: peer.frame(Kind.ALTSVC, 0, b'\0\0h2=":1"'))),
    survived("SETTINGS of 5 bytes", "6.5", instead(lambda peer: peer.frame(Kind.SETTINGS, 0, bytes(5), stream=0))),
    survived("SETTINGS on a stream", "6.5", instead(lambda peer: peer.frame(Kind.SETTINGS))),
    survived(
        "an acknowledgement that holds settings",
        "6.5",
        instead(lambda peer: peer.settings((MAX_STREAMS, 1), flags=ACK)),
    ),
    survived("settings that enable push, later", "6.5.2", instead(lambda peer: peer.settings((2, 1)))),
    survived("a window of 4 GB, later", "6.5.2", instead(lambda peer: peer.settings((4, 0xFFFFFFFF)))),
    survived("frames of 4 GB at most", "6.5.2", instead(lambda peer: peer.settings((5, 0xFFFFFFFF)))),
    survived("PING of 7 bytes", "6.7", instead(lambda peer: peer.frame(Kind.PING, 0, bytes(7), stream=0))),
    survived("PING on a stream", "6.7", instead(lambda peer: peer.frame(Kind.PING, 0, bytes(8)))),
    survived("WINDOW_UPDATE by 0", "6.9", instead(lambda peer: peer.frame(Kind.WINDOW_UPDATE, 0, bytes(4), stream=0))),
    survived(
        "WINDOW_UPDATE by 0 on the stream", "6.9", instead(lambda peer: peer.frame(Kind.WINDOW_UPDATE, 0, bytes(4)))
    ),
    survived(
        "a window that overflows",
        "6.9.1",
        instead(lambda peer: peer.frame(Kind.WINDOW_UPDATE, 0, b"\x7f\xff\xff\xff", stream=0, times=2)),
    ),
    survived(
        "WINDOW_UPDATE of 3 bytes", "6.9", instead(lambda peer: peer.frame(Kind.WINDOW_UPDATE, 0, bytes(3), stream=0))
    ),
    # Frames of no use.
    survived("a PING every 0.1 s", "6.7", instead(again(lambda peer: peer.frame(*_PING, stream=0), DRIBBLE))),
    survived("SETTINGS every 0.1 s", "6.5", instead(again(Http2Peer.settings, DRIBBLE))),
    *heavy(*_floods()),
)
