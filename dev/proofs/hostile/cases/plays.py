"""What most misbehaviours are made of: the plays that write an answer, and the usual specifications."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from dev.proofs.hostile.case import Case, Play
from dev.proofs.hostile.peer import ELSEWHERE, GoneError, Peer

if TYPE_CHECKING:
    from dev.proofs.hostile.server import Server

Then = Literal["keep", "close", "reset", "hold"]
"""What becomes of the connection after an answer: it serves further requests, is closed, reset, or stays silent."""

OK = "HTTP/1.1 200 OK\r\n"
FIELDS = "Content-Type: {type}\r\nContent-Length: {length}\r\n"
REST = FIELDS + "\r\n{body}"
CHUNKED = OK + "Content-Type: {type}\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = OK + "Content-Type: {type}\r\nConnection: close\r\n\r\n"
HTML = "<html><body>maintenance</body></html>"

FLOOD = 0.002
"""Seconds between two pieces of an answer that never ends and comes as fast as over a good network."""

DRIBBLE = 0.1
"""Seconds between two pieces of an answer that never ends: less than any time-out of a read."""


def fill(text: str, peer: Peer) -> bytes:
    """Return the bytes of a text, in which names in braces stand for parts of the right answer."""
    right = peer.right
    names = {
        "type": right.content_type,
        "length": len(right.body),
        "hex": f"{len(right.body):x}",
        "elsewhere": ELSEWHERE,
    }
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text.encode("latin-1").replace(b"{body}", right.body)


def say(text: str, then: Then = "keep", *, split: int = 0) -> Play:
    """Return the play that sends a text; for its braces, see `fill`.

    :param split: number of bytes in a piece; 0 for a single piece.
    """

    def play(peer: Peer, server: Server) -> None:
        whole = fill(text, peer)
        peer.send(*(whole[start : start + split] for start in range(0, len(whole), split)) if split else (whole,))
        leave(peer, then)

    return play


def endless(start: str, piece: str, pause: float = FLOOD) -> Play:
    """Return the play that sends a text, and then a piece again and again.

    :param pause: seconds after each piece.
    """

    def play(peer: Peer, server: Server) -> None:
        peer.send(fill(start, peer))
        again = piece.encode("latin-1")
        while True:
            peer.send(again, pause=pause)

    return play


def repeated(start: str, piece: bytes, times: int, then: Then = "keep") -> Play:
    """Return the play that sends a text, and then a piece so many times."""

    def play(peer: Peer, server: Server) -> None:
        peer.send(fill(start, peer))
        for _ in range(times):
            peer.send(piece)
        leave(peer, then)

    return play


def body(change: Callable[[Server], bytes], *fields: str, status: str = "200 OK") -> Play:
    """Return the play of a well-formed answer with a body that a function returns."""

    def play(peer: Peer, server: Server) -> None:
        peer.answer(change(server), *fields, status=status)

    return play


def leave(peer: Peer, then: Then) -> None:
    """Do with a connection what comes after an answer."""
    if then == "hold":
        peer.hold()
    if then in ("close", "reset"):
        (peer.close if then == "close" else peer.reset)()
        raise GoneError


_UNHURRIED = 5.0
"""The connection's time-out, in seconds, where an answer may be understood: a busy machine must not decide whether."""


def valid(name: str, clause: str, play: Play, places: str = "record stream submission", **more: Any) -> Case:
    """Return the case of an answer that breaks no rule, so that it must be understood, also by a busy machine."""
    verdicts: dict[str, Any] = dict.fromkeys(places.split(), "ended")
    if "submission" in verdicts:
        verdicts["submission"] = "submitted"
    return Case(
        name,
        clause,
        play,
        **({"times": None, "is_valid": True, "timeout": 10.0, "request_timeout": _UNHURRIED} | verdicts | more),
    )


def broken(name: str, clause: str, play: Play, places: str = "record stream submission", **more: Any) -> Case:
    """Return the case of an answer that nobody can understand: a wait goes on, a submission is uncertain."""
    verdicts: dict[str, Any] = dict.fromkeys(places.split(), "ended")
    if "submission" in verdicts:
        verdicts["submission"] = "uncertain"
    return Case(name, clause, play, **(verdicts | more))


def lenient(name: str, clause: str, play: Play, places: str = "record stream submission", **more: Any) -> Case:
    """Return the case of an answer that a client may understand or not: both is safe. The same bytes end alike."""
    options: dict[str, Any] = {"request_timeout": _UNHURRIED}
    if "submission" in places:
        options["submission"] = "submitted or uncertain"
    return broken(name, clause, play, places, **(options | more))


def heavy(*cases: Case) -> Iterator[Case]:
    """Yield cases that need a processor for a while, marked as such."""
    for case in cases:
        yield replace(case, is_heavy=True)
