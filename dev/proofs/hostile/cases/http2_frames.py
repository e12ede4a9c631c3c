"""Misbehaviours of HTTP/2 in the frames of one answer: DATA, padding, priorities, pushes, and ids of streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from dev.proofs.hostile.case import Case, Play
from dev.proofs.hostile.cases.http2_plays import (
    MANY,
    UNHURRIED,
    after,
    again,
    amid,
    before,
    instead,
    survived,
    understood,
    within,
)
from dev.proofs.hostile.cases.plays import DRIBBLE, FLOOD, heavy
from dev.proofs.hostile.http2_peer import END_HEADERS, END_STREAM, MAX_ID, MAX_PAYLOAD, PADDED, Http2Peer, Kind, encoded

if TYPE_CHECKING:
    from dev.proofs.hostile.server import Server

_TOO_MUCH = b" " * 600_000
"""More bytes than the window of any stream."""


def _split(size: int, padding: int | None = None) -> Play:
    """Return the play that sends the body in frames of so many bytes.

    :param padding: bytes of padding in each frame.
    """

    def play(peer: Http2Peer, server: Server) -> None:
        peer.head()
        body = peer.right.body
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            if padding is None:
                peer.data(piece)
            else:
                peer.frame(Kind.DATA, PADDED, bytes([padding]) + piece + bytes(padding))
        peer.data(end=True)

    return play


def _slow(peer: Http2Peer, server: Server) -> None:
    """Answer rightly, in pieces that come one after the other."""
    peer.head()
    body = peer.right.body
    for number, start in enumerate(range(0, len(body), 50)):
        piece, is_last = body[start : start + 50], start + 50 >= len(body)
        peer.later(0.05 * number, partial(peer.data, piece, end=is_last))


def _large(peer: Http2Peer, server: Server) -> None:
    """Send an output of 10 MB, as fast as the client allows."""
    connection = peer.connection
    connection.head(peer.stream, {":status": "200", "content-type": "application/json"})
    connection.body(peer.stream, peer.right.body[:-1] + b', "output": "' + b"x" * 10_000_000 + b'"}')


def _pushed(peer: Http2Peer) -> None:
    """Promise a stream, and answer on it."""
    request = encoded((":method", "GET"), (":scheme", "https"), (":authority", "x"), (":path", "/elsewhere"))
    peer.frame(Kind.PUSH_PROMISE, END_HEADERS, (2).to_bytes(4, "big") + request)
    peer.frame(Kind.HEADERS, END_HEADERS | END_STREAM, encoded(*peer.fields), stream=2)


def _padded(padding: int, data: bytes, kind: Kind = Kind.DATA) -> Play:
    """Return the play that sends a frame with data that are shorter than the padding that it announces."""

    def play(peer: Http2Peer, server: Server) -> None:
        if kind == Kind.DATA:
            peer.head()
        peer.frame(kind, PADDED | (END_HEADERS if kind == Kind.HEADERS else 0), bytes([padding]) + data)

    return play


def _on_stream(other: Callable[[int], int]) -> Play:
    """Return the play that answers on another stream."""

    def play(peer: Http2Peer, server: Server) -> None:
        peer.stream = other(peer.stream)
        peer.answer()

    return play


def _floods() -> Iterator[Case]:
    for name, section, step in (
        ("empty DATA", "10.5", lambda peer: peer.frame(Kind.DATA, times=MANY)),
        (
            "DATA of nothing but padding",
            "6.1",
            lambda peer: peer.frame(Kind.DATA, PADDED, b"\x09" + bytes(9), times=MANY),
        ),
        ("PRIORITY", "6.3", lambda peer: peer.frame(Kind.PRIORITY, 0, bytes(5), times=MANY)),
        ("RST_STREAM", "5.1", lambda peer: peer.frame(Kind.RST_STREAM, 0, bytes(4), times=MANY)),
    ):
        yield survived(f"{name} without end", section, within(again(step, FLOOD)), **UNHURRIED)


CASES: tuple[Case, ...] = (
    # DATA.
    understood("DATA byte by byte", "6.1", _split(1)),
    understood("DATA with padding", "6.1", _split(40, 255)),
    understood("DATA with padding of no byte", "6.1", _split(40, 0)),
    understood("100 empty frames DATA", "6.1", amid(lambda peer: peer.frame(Kind.DATA, times=100))),
    understood("DATA that comes slowly", "6.1", _slow),
    understood("an output of 10 MB, as the windows allow", "5.2", _large, "record"),
    understood("unknown flags", "4.1", amid(lambda peer: peer.frame(Kind.DATA, 0xF6))),
    understood(
        "the reserved bit of a stream's id", "4.1", amid(lambda peer: peer.frame(Kind.DATA, stream=peer.stream | 2**31))
    ),
    survived("DATA before HEADERS", "8.1", instead(lambda peer: peer.data(peer.right.body, end=True))),
    survived("DATA on stream 0", "6.1", within(lambda peer: peer.frame(Kind.DATA, 0, b"x", stream=0))),
    survived("DATA on an idle stream", "5.1", within(lambda peer: peer.frame(Kind.DATA, 0, b"x", stream=9_999))),
    survived("DATA on a stream of the server", "5.1.1", within(lambda peer: peer.frame(Kind.DATA, 0, b"x", stream=2))),
    survived("DATA after the end of the stream", "5.1", after(lambda peer: peer.data(b"x")), "stream"),
    survived("more than the window", "5.2", within(lambda peer: peer.data(_TOO_MUCH))),
    survived("a frame that is too large", "4.2", within(lambda peer: peer.frame(Kind.DATA, 0, bytes(MAX_PAYLOAD + 1)))),
    survived("a frame of 16 MB", "4.2", within(lambda peer: peer.bytes(b"\xff\xff\xff\0\0\0\0\0\1" + bytes(300_000)))),
    survived("padding that is longer than its frame", "6.1", _padded(255, b"x")),
    survived("padding as long as its frame", "6.1", _padded(2, b"x")),
    survived(
        "a frame with the flag of padding, and no byte", "6.1", within(lambda peer: peer.frame(Kind.DATA, PADDED))
    ),
    survived("padded HEADERS that are too short", "6.2", _padded(255, b"\x88", Kind.HEADERS)),
    survived("an empty frame DATA every 0.1 s", "6.1", within(again(lambda peer: peer.frame(Kind.DATA), DRIBBLE))),
    survived("a body that dribbles", "6.1", within(again(lambda peer: peer.data(b" "), DRIBBLE))),
    survived("a body without end", "6.1", within(again(lambda peer: peer.data(b" " * MAX_PAYLOAD), FLOOD))),
    # Priorities and pushes.
    understood("PRIORITY", "6.3", amid(lambda peer: peer.frame(Kind.PRIORITY, 0, b"\0\0\0\0\7"))),
    survived("PRIORITY of 4 bytes", "6.3", instead(lambda peer: peer.frame(Kind.PRIORITY, 0, bytes(4)))),
    survived("PRIORITY on stream 0", "6.3", instead(lambda peer: peer.frame(Kind.PRIORITY, 0, bytes(5), stream=0))),
    survived(
        "a stream that depends on itself",
        "6.3",
        instead(lambda peer: peer.frame(Kind.PRIORITY, 0, peer.stream.to_bytes(4, "big") + b"\7")),
    ),
    survived("a push", "8.4", before(_pushed)),
    survived("a push on stream 0", "6.6", instead(lambda peer: peer.frame(Kind.PUSH_PROMISE, 4, bytes(5), stream=0))),
    survived("a push of 3 bytes", "6.6", instead(lambda peer: peer.frame(Kind.PUSH_PROMISE, 4, bytes(3)))),
    # Ids of streams.
    survived("an answer on the next stream", "5.1.1", _on_stream(lambda stream: stream + 2)),
    survived("an answer on a stream of the server", "5.1.1", _on_stream(lambda stream: stream + 1)),
    survived("an answer on stream 0", "5.1.1", _on_stream(lambda _: 0)),
    survived("an answer on the last stream of all", "5.1.1", _on_stream(lambda _: MAX_ID)),
    *heavy(*_floods()),
)
