"""Misbehaviours of HTTP/2 in blocks of header fields: their meaning, their compression (HPACK), and their size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dev.proofs.hostile.case import Case, Play
from dev.proofs.hostile.cases.http2_plays import UNHURRIED, Step, again, in_turn, instead, survived, understood, within
from dev.proofs.hostile.cases.plays import DRIBBLE, FLOOD, HTML, heavy
from dev.proofs.hostile.http2_peer import (
    END_HEADERS,
    MAX_PAYLOAD,
    PADDED,
    PRIORITY_FIELDS,
    Field,
    Http2Peer,
    Kind,
    encoded,
    number,
)

if TYPE_CHECKING:
    from dev.proofs.hostile.server import Server

HPACK = "RFC 7541"
OK: Field = (":status", "200")
INDEXED_OK = b"\x88"
"""The status 200 from HPACK's static table."""


def _head(*fields: Field) -> Play:
    """Return the play of the right answer with another head."""

    def play(peer: Http2Peer, server: Server) -> None:
        peer.answer(None, *fields)

    return play


def _more(*fields: Field) -> Play:
    """Return the play of the right answer with more fields in its head."""

    def play(peer: Http2Peer, server: Server) -> None:
        peer.answer(None, *peer.fields, *fields)

    return play


def _block(block: bytes, flags: int = END_HEADERS) -> Play:
    """Return the play of an answer whose head has these bytes, and the type of the right answer."""

    def play(peer: Http2Peer, server: Server) -> None:
        peer.frame(Kind.HEADERS, flags, block + encoded(peer.fields[1]))
        peer.data(peer.right.body, end=True)

    return play


def _trailers(*fields: Field, end: bool = True) -> Play:
    """Return the play of the right answer with trailers."""

    def play(peer: Http2Peer, server: Server) -> None:
        peer.head()
        peer.data(peer.right.body)
        peer.head(*fields, end=end)

    return play


def _interim(status: str, times: int, *fields: Field) -> Play:
    """Return the play of interim answers, and then the right one."""

    def play(peer: Http2Peer, server: Server) -> None:
        for _ in range(times):
            peer.head((":status", status), *fields)
        peer.answer()

    return play


def _continued(size: int) -> Play:
    """Return the play of the right answer whose head is cut into CONTINUATION frames of so many bytes."""

    def play(peer: Http2Peer, server: Server) -> None:
        block = encoded(*peer.fields)
        pieces = [block[start : start + size] for start in range(0, len(block), size)]
        peer.frame(Kind.HEADERS, 0, pieces[0])
        for piece in pieces[1:]:
            peer.frame(Kind.CONTINUATION, 0, piece)
        peer.frame(Kind.CONTINUATION, END_HEADERS)
        peer.data(peer.right.body, end=True)

    return play


def _padded(peer: Http2Peer, server: Server) -> None:
    """Answer rightly, with padding and priority in HEADERS."""
    peer.frame(
        Kind.HEADERS,
        END_HEADERS | PADDED | PRIORITY_FIELDS,
        b"\x20" + b"\0\0\0\0\7" + encoded(*peer.fields) + bytes(32),
    )
    peer.data(peer.right.body, end=True)


def _large(size: int) -> bytes:
    """Return a block of header fields of so many bytes."""
    return encoded(OK, *(("x-filler", "y" * 1000) for _ in range(size // 1000)))


def _large_head(size: int) -> Play:
    """Return the play of an answer with a head of so many bytes, in frames that are not too large."""

    def play(peer: Http2Peer, server: Server) -> None:
        block = _large(size)
        peer.frame(Kind.HEADERS, 0, block[:MAX_PAYLOAD])
        for start in range(MAX_PAYLOAD, len(block), MAX_PAYLOAD):
            peer.frame(Kind.CONTINUATION, 0, block[start : start + MAX_PAYLOAD])
        peer.frame(Kind.CONTINUATION, END_HEADERS)
        peer.data(peer.right.body, end=True)

    return play


def _bomb(peer: Http2Peer) -> None:
    """Put a field of 4,000 bytes into HPACK's table, and refer to it 16,000 times in a frame, in each of 20 heads."""
    entry = b"\x40" + number(1, 7) + b"x" + number(3900, 7) + b"y" * 3900
    peer.frame(Kind.HEADERS, END_HEADERS, INDEXED_OK + entry + b"\xbe" * 12_000)


def _begin(peer: Http2Peer) -> None:
    """Begin a head that CONTINUATION goes on with."""
    peer.frame(Kind.HEADERS, 0, INDEXED_OK)


def _page(*fields: Field) -> Step:
    return lambda peer: peer.answer(HTML.encode(), *fields)


def _pages() -> Iterator[Case]:
    for status in ("301", "307", "404", "500", "503"):
        fields: tuple[Field, ...] = ((":status", status), ("content-type", "text/html"), ("location", "/elsewhere"))
        yield survived(f"a page with {status}", "RFC 9110, 15", instead(_page(*fields)))


def _invalid_fields() -> Iterator[Case]:
    for name, section, fields in (
        ("no status", "8.3.2", (("content-type", "text/html"),)),
        ("no field at all", "8.3.2", (("x", ""),)),
        ("two statuses", "8.3", (OK, (":status", "500"))),
        ("a status of two digits", "8.3.2", ((":status", "20"),)),
        ("a status that is a word", "8.3.2", ((":status", "fine"),)),
        ("an empty status", "8.3.2", ((":status", ""),)),
        ("the status 101", "8.6", ((":status", "101"),)),
        ("a status in digits that are not ASCII", "8.3.2", ((":status", "\u0662\u0660\u0660"),)),
    ):
        yield survived(name, section, _head(*fields))


# What a client may refuse or accept: both is safe.
_ODD_FIELDS: tuple[tuple[str, str, Play], ...] = (
    ("the status after another field", "8.3", _head(("x-first", "1"), OK)),
    ("a pseudo-header of requests", "8.3", _more((":path", "/"))),
    ("an unknown pseudo-header", "8.3", _more((":odd", "1"))),
    ("a field name in upper case", "8.2.1", _more(("X-UPPER", "1"))),
    ("a field name with a colon", "8.2.1", _more(("a:b", "1"))),
    ("a field name with a space", "8.2.1", _more(("a b", "1"))),
    ("an empty field name", "8.2.1", _more(("", "1"))),
    ("a line end in a field value", "8.2.1", _more(("x", "a\r\nset-cookie: b"))),
    ("NUL in a field value", "8.2.1", _more(("x", "a\0b"))),
    ("spaces around a field value", "8.2.1", _more(("x", " a "))),
    ("bytes that are not UTF-8", "8.2.1", _more((b"x", b"\xff\xfe"))),
    ("Connection", "8.2.2", _more(("connection", "close"))),
    ("Transfer-Encoding", "8.2.2", _more(("transfer-encoding", "chunked"))),
    ("Upgrade", "8.2.2", _more(("upgrade", "websocket"))),
    ("TE", "8.2.2", _more(("te", "gzip"))),
    ("a length that is too small", "8.1.1", _more(("content-length", "3"))),
    ("a length that is too large", "8.1.1", _more(("content-length", "99999"))),
    ("a length that is a word", "8.1.1", _more(("content-length", "many"))),
    ("a negative length", "8.1.1", _more(("content-length", "-1"))),
    ("two different lengths", "8.1.1", _more(("content-length", "3"), ("content-length", "4"))),
    ("trailers with a status", "8.1", _trailers((":status", "500"))),
    ("trailers that do not end the stream", "8.1", _trailers(("x", "y"), end=False)),
    ("200 trailers", "8.1", _trailers(*((f"x-{index}", "y") for index in range(200)))),
    ("1,000 fields", "10.5.1", _more(*((f"x-{index}", "y") for index in range(300)))),
)

CASES: tuple[Case, ...] = (
    # Right ones.
    understood("an indexed status", f"{HPACK}, 6.1", _block(INDEXED_OK)),
    understood("a status in Huffman's code", f"{HPACK}, 5.2", _block(b"\x08\x82\x10\x01")),
    understood("a head in frames of 3 bytes", "6.10", _continued(3)),
    understood("HEADERS with padding and priority", "6.2", _padded),
    understood("three 103 Early Hints", "RFC 8297, 2", _interim("103", 3, ("link", "</x>"))),
    understood("trailers", "8.1", _trailers(("x-checksum", "7"))),
    understood("90 cookies", "8.2.3", _more(*(("set-cookie", f"a{index}=b") for index in range(90)))),
    # Fields.
    *_invalid_fields(),
    *(survived(name, section, play) for name, section, play in _ODD_FIELDS),
    *_pages(),
    survived("HEADERS that end the stream", "8.1", instead(lambda peer: peer.head(end=True))),
    survived("HEADERS twice", "8.1", within(lambda peer: peer.head())),
    survived("HEADERS on stream 0", "6.2", instead(lambda peer: peer.frame(Kind.HEADERS, 4, INDEXED_OK, stream=0))),
    survived("trailers of 100 kB", "10.5.1", within(lambda peer: peer.head(*[("x", "y" * 1000)] * 15, end=True))),
    # HPACK.
    survived("an index of 0", f"{HPACK}, 6.1", _block(b"\x80")),
    survived("an index beyond the tables", f"{HPACK}, 2.3.3", _block(INDEXED_OK + b"\xff\x80\x01")),
    survived("an integer without end", f"{HPACK}, 5.1", _block(b"\xff" * 1000)),
    survived("an integer of 100 bits", f"{HPACK}, 5.1", _block(b"\x7f" + b"\xff" * 14 + b"\x01")),
    survived("a text longer than its block", f"{HPACK}, 5.2", _block(b"\x00\x7f\xff\xff\x01")),
    survived("a wrong end of Huffman's code", f"{HPACK}, 5.2", _block(b"\x00\x82\x00\x00\x01y")),
    survived("the end of Huffman's code as a symbol", f"{HPACK}, 5.2", _block(b"\x00\x84\xff\xff\xff\xff\x01y")),
    survived("a table that is too large", f"{HPACK}, 6.3", _block(b"\x3f\xff\xff\x7f" + INDEXED_OK)),
    survived("a new size of the table in the middle", f"{HPACK}, 4.2", _block(INDEXED_OK + b"\x20")),
    survived(
        "a block that is cut", f"{HPACK}, 3.1", instead(lambda peer: peer.frame(Kind.HEADERS, 4, b"\x88\x00\x05a"))
    ),
    survived("an empty block", "6.2", instead(lambda peer: peer.frame(Kind.HEADERS, 4))),
    # CONTINUATION.
    survived(
        "CONTINUATION without HEADERS", "6.10", instead(lambda peer: peer.frame(Kind.CONTINUATION, 4, INDEXED_OK))
    ),
    survived(
        "CONTINUATION on another stream",
        "6.10",
        instead(in_turn(_begin, lambda peer: peer.frame(Kind.CONTINUATION, 4, stream=9))),
    ),
    survived(
        "another frame before CONTINUATION",
        "6.10",
        instead(in_turn(_begin, lambda peer: peer.frame(Kind.PING, 0, bytes(8), stream=0))),
    ),
    survived("HEADERS, and never CONTINUATION", "6.10", instead(_begin)),
    survived(
        "CONTINUATION that dribbles",
        "6.10",
        instead(in_turn(_begin, again(lambda peer: peer.frame(Kind.CONTINUATION, 0, encoded(("x", "y"))), DRIBBLE))),
    ),
    survived(
        "103 Early Hints every 0.1 s",
        "RFC 8297, 2",
        instead(again(lambda peer: peer.head((":status", "103")), DRIBBLE)),
    ),
    survived("1,000 interim answers", "8.1", _interim("103", 1000)),
    # Size.
    survived("a head of 100 kB", "10.5.1", _large_head(100_000)),
    survived("a head of 1 MB", "10.5.1", _large_head(1_000_000)),
    *heavy(
        survived(
            "CONTINUATION without end",
            "10.5",
            instead(in_turn(_begin, again(lambda peer: peer.frame(Kind.CONTINUATION, 0, _large(16_000)), FLOOD))),
            **UNHURRIED,
        ),
        survived(
            "empty CONTINUATION without end",
            "10.5",
            instead(in_turn(_begin, again(lambda peer: peer.frame(Kind.CONTINUATION, times=4000), FLOOD))),
            **UNHURRIED,
        ),
        survived("a bomb in HPACK", f"{HPACK}, 7.3", instead(_bomb)),
        survived("heads without end", "8.1", within(again(lambda peer: peer.head(("x", "y")), FLOOD)), **UNHURRIED),
        survived(
            "interim answers without end",
            "8.1",
            instead(again(lambda peer: peer.head((":status", "103")), FLOOD)),
            **UNHURRIED,
        ),
    ),
)
