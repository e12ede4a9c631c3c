"""Misbehaviours in the length of an answer, in its chunks, and in the life of its connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dev.proofs.hostile.case import Case
from dev.proofs.hostile.cases.plays import (
    CHUNKED,
    DRIBBLE,
    OK,
    REST,
    UNTIL_CLOSE,
    broken,
    endless,
    leave,
    lenient,
    say,
    valid,
)
from dev.proofs.hostile.peer import Peer

if TYPE_CHECKING:
    from dev.proofs.hostile.server import Server

_CHUNK = CHUNKED + "{hex}\r\n{body}\r\n"
_TYPE = OK + "Content-Type: {type}\r\n"


def _length(value: str, text: str = "{body}") -> str:
    return f"{_TYPE}Content-Length: {value}\r\n\r\n{text}"


def _single_bytes(peer: Peer, server: Server) -> None:
    start = CHUNKED.replace("{type}", peer.right.content_type).encode()
    peer.send(start, b"".join(b"1\r\n%c\r\n" % byte for byte in peer.right.body), b"0\r\n\r\n")


def _too_late(peer: Peer, server: Server) -> None:
    """Answer, and answer once more, although nobody has asked: the second answer would be a failure."""
    peer.answer()
    lie = json.dumps({**json.loads(server.json("FAILED", error="a lie")), "runId": "a-lie"}).encode()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(lie), lie))


def _unasked_408(peer: Peer, server: Server) -> None:
    """Answer, and announce that the connection was idle for too long, as some proxies did."""
    peer.answer()
    peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    leave(peer, "close")


def _each_time() -> Iterator[Case]:
    """Yield the cases of answers that never end, however often the record is read: the deadline ends the wait."""
    for name, clause, play in (
        ("no answer", "RFC 9112, 9.5", say("", "hold")),
        ("100 Continue every 0.1 s", "RFC 9110, 15.2.1", endless("", "HTTP/1.1 100 Continue\r\n\r\n", DRIBBLE)),
        ("a head that dribbles", "RFC 9112, 2.1", endless(OK + "X-Filler: ", "y", DRIBBLE)),
        ("a body that dribbles", "RFC 9112, 6.2", endless(_length("99999", ""), " ", DRIBBLE)),
        ("a chunk extension that dribbles", "RFC 9112, 7.1.1", endless(CHUNKED + "5;", "a", DRIBBLE)),
        ("trailers that dribble", "RFC 9112, 7.1.2", endless(_CHUNK + "0\r\n", "X-A: b\r\n", DRIBBLE)),
    ):
        options: dict[str, Any] = {"times": None, "ends": "never", "timeout": 3.0, "ways": ("hook", "trigger")}
        yield Case(f"{name}, each time", clause, play, record="timeout", stream="timeout", **options)


CASES: tuple[Case, ...] = (
    # Content-Length.
    broken("an answer that is too short, then the end", "RFC 9112, 8", say(_length("9999"), "close")),
    broken("an answer that is too short, then silence", "RFC 9112, 8", say(_length("9999"), "hold")),
    broken("an answer that is too short, then a reset", "RFC 9112, 8", say(_length("9999"), "reset")),
    broken("a length that cuts the answer", "RFC 9112, 6.3", say(_length("9"), "close")),
    broken("a length of 0", "RFC 9110, 8.6", say(_length("0", ""))),
    broken("a body that dribbles", "RFC 9112, 6.2", endless(_length("99999", ""), " ", DRIBBLE)),
    lenient("two equal lengths", "RFC 9112, 6.3", say(OK + "Content-Length: {length}\r\n" + REST)),
    lenient("two different lengths", "RFC 9112, 6.3", say(OK + "Content-Length: 3\r\n" + REST, "close")),
    lenient("a list of equal lengths", "RFC 9112, 6.3", say(_length("{length}, {length}"), "close")),
    lenient("a list of different lengths", "RFC 9112, 6.3", say(_length("{length}, 3"), "close")),
    lenient("a negative length", "RFC 9110, 8.6", say(_length("-1"), "close")),
    lenient("a length with a sign", "RFC 9110, 8.6", say(_length("+{length}"), "close")),
    lenient("a hexadecimal length", "RFC 9110, 8.6", say(_length("0x{hex}"), "close")),
    lenient("a length that is a word", "RFC 9110, 8.6", say(_length("many"), "close")),
    broken("a length of 30 digits", "RFC 9110, 8.6", say(_length("9" * 30), "close")),
    lenient("a length of 5,000 digits", "RFC 9110, 8.6", say(_length("9" * 5000), "close")),
    # Transfer-Encoding.
    valid("chunks", "RFC 9112, 7.1", say(_CHUNK + "0\r\n\r\n")),
    valid("chunks of one byte", "RFC 9112, 7.1", _single_bytes),
    valid("CHUNKED in upper case", "RFC 9112, 7", say((_CHUNK + "0\r\n\r\n").replace("chunked", "CHUNKED"))),
    valid("a chunk size with zeros before it", "RFC 9112, 7.1", say(CHUNKED + "0000{hex}\r\n{body}\r\n000\r\n\r\n")),
    valid("a chunk extension", "RFC 9112, 7.1.1", say(CHUNKED + '{hex};a=b;c="d"\r\n{body}\r\n0;e\r\n\r\n')),
    valid("trailers", "RFC 9112, 7.1.2", say(_CHUNK + "0\r\nX-Checksum: 7\r\n\r\n")),
    lenient(
        "trailers that contradict the head",
        "RFC 9110, 6.5.1",
        say(_CHUNK + "0\r\nContent-Length: 3\r\nContent-Type: text/html\r\n\r\n"),
    ),
    lenient(
        "chunks and a length",
        "RFC 9112, 6.3",
        say(_CHUNK.replace("Transfer", "Content-Length: 3\r\nTransfer") + "0\r\n\r\n", "close"),
    ),
    lenient("chunks in HTTP/1.0", "RFC 9112, 6.1", say((_CHUNK + "0\r\n\r\n").replace("/1.1", "/1.0"), "close")),
    lenient(
        "an unknown transfer coding",
        "RFC 9112, 7",
        say(
            OK + "Transfer-Encoding: rot13, chunked\r\nContent-Type: {type}\r\n\r\n{hex}\r\n{body}\r\n0\r\n\r\n",
            "close",
        ),
    ),
    lenient(
        "chunked is not the last transfer coding",
        "RFC 9112, 6.3",
        say(
            OK + "Transfer-Encoding: chunked, gzip\r\nContent-Type: {type}\r\n\r\n{hex}\r\n{body}\r\n0\r\n\r\n", "close"
        ),
    ),
    lenient("chunk lines that end with LF alone", "RFC 9112, 2.2", say(CHUNKED + "{hex}\n{body}\n0\n\n", "close")),
    broken("a chunk size that is no number", "RFC 9112, 7.1", say(CHUNKED + "many\r\n{body}\r\n0\r\n\r\n")),
    lenient("a chunk size with 0x", "RFC 9112, 7.1", say(CHUNKED + "0x{hex}\r\n{body}\r\n0\r\n\r\n", "close")),
    lenient("a chunk size with a sign", "RFC 9112, 7.1", say(CHUNKED + "+{hex}\r\n{body}\r\n0\r\n\r\n", "close")),
    broken("a negative chunk size", "RFC 9112, 7.1", say(CHUNKED + "-5\r\n{body}\r\n0\r\n\r\n", "close")),
    broken("a chunk size beyond 64 bits", "RFC 9112, 7.1", say(CHUNKED + "f" * 17 + "\r\n{body}", "close")),
    broken("a chunk size without end", "RFC 9112, 7.1", endless(CHUNKED, "0" * 65536)),
    lenient(
        "chunks without a line end behind them", "RFC 9112, 7.1", say(CHUNKED + "{hex}\r\n{body}0\r\n\r\n", "close")
    ),
    broken("a chunk that is too short", "RFC 9112, 8", say(CHUNKED + "ffff\r\n{body}", "close")),
    broken("the last chunk too early", "RFC 9112, 7.1", say(CHUNKED + "2\r\n\r\n\r\n0\r\n\r\n{body}", "close")),
    broken("no last chunk, then the end", "RFC 9112, 8", say(_CHUNK, "close")),
    broken("no last chunk, then silence", "RFC 9112, 8", say(_CHUNK, "hold")),
    broken("no last chunk, then a reset", "RFC 9112, 8", say(_CHUNK, "reset")),
    lenient(
        "a chunk extension of 1 MB",
        "RFC 9112, 7.1.1",
        say(CHUNKED + "{hex};" + "a" * 10**6 + "\r\n{body}\r\n0\r\n\r\n"),
    ),
    broken("a chunk extension without end", "RFC 9112, 7.1.1", endless(CHUNKED + "5;", "a" * 65536)),
    broken("a chunk extension that dribbles", "RFC 9112, 7.1.1", endless(CHUNKED + "5;", "a", DRIBBLE)),
    broken("empty chunk lines that dribble", "RFC 9112, 7.1", endless(CHUNKED, "1\r\n \r\n", DRIBBLE)),
    lenient("1,000 trailers", "RFC 9112, 7.1.2", say(_CHUNK + "0\r\n" + "X-A: b\r\n" * 1000 + "\r\n")),
    broken("trailers without end", "RFC 9112, 7.1.2", endless(_CHUNK + "0\r\n", "X-A: b\r\n" * 8000)),
    broken("trailers that dribble", "RFC 9112, 7.1.2", endless(_CHUNK + "0\r\n", "X-A: b\r\n", DRIBBLE)),
    broken("a trailer that dribbles", "RFC 9112, 7.1.2", endless(_CHUNK + "0\r\nX-A: ", "b", DRIBBLE)),
    *_each_time(),
    # The connection.
    broken("the end before the answer", "RFC 9112, 9.6", say("", "close")),
    broken("a reset before the answer", "RFC 9112, 9.6", say("", "reset")),
    broken("no answer", "RFC 9112, 9.5", say("", "hold")),
    broken(
        "an answer without length that is cut",
        "RFC 9112, 8",
        say(UNTIL_CLOSE + '{"id": "0f', "close"),
        "record submission",
    ),
    broken("an answer without length and without end", "RFC 9112, 6.3", endless(UNTIL_CLOSE, " ", DRIBBLE)),
    valid("HTTP/1.0", "RFC 9112, 9.3", say("HTTP/1.0 200 OK\r\nContent-Type: {type}\r\n\r\n{body}", "close")),
    valid("the end after each answer, unannounced", "RFC 9112, 9.5", say(OK + REST, "close"), "record submission"),
    valid("an answer byte by byte", "RFC 9112, 6", say(OK + REST, split=1), "record submission"),
    lenient("an answer that nobody has asked for", "RFC 9112, 9.2", _too_late, "record", times=2),
    lenient("408 that nobody has asked for", "RFC 9110, 15.5.9", _unasked_408, "record", times=2),
)
