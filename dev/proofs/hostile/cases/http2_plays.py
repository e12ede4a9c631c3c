"""What most misbehaviours of HTTP/2 are made of: the plays that write frames, and the usual specifications."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dev.proofs.hostile.case import Case, Play
from dev.proofs.hostile.cases.plays import broken, valid
from dev.proofs.hostile.http2_peer import Http2Peer

if TYPE_CHECKING:
    from dev.proofs.hostile.server import Server

Step = Callable[[Http2Peer], Any]
"""Sends some frames."""

MANY = 4000
"""How many frames a flood sends at once."""


def instead(step: Step) -> Play:
    """Return the play that sends frames instead of an answer."""

    def play(peer: Http2Peer, server: Server) -> None:
        step(peer)

    return play


def before(step: Step) -> Play:
    """Return the play that sends frames, and then answers rightly."""

    def play(peer: Http2Peer, server: Server) -> None:
        step(peer)
        peer.answer()

    return play


def within(step: Step) -> Play:
    """Return the play that sends frames after a part of the right answer, which then never ends."""

    def play(peer: Http2Peer, server: Server) -> None:
        peer.head()
        peer.data(peer.right.body[:9])
        step(peer)

    return play


def amid(step: Step) -> Play:
    """Return the play that sends frames in the middle of the right answer."""

    def play(peer: Http2Peer, server: Server) -> None:
        peer.head()
        peer.data(peer.right.body[:9])
        step(peer)
        peer.data(peer.right.body[9:], end=True)

    return play


def after(step: Step) -> Play:
    """Return the play that answers rightly, and then sends frames."""

    def play(peer: Http2Peer, server: Server) -> None:
        peer.answer()
        step(peer)

    return play


def in_turn(*steps: Step) -> Step:
    """Return the step that does others one after the other."""

    def step(peer: Http2Peer) -> None:
        for each in steps:
            each(peer)

    return step


def again(step: Step, pause: float) -> Step:
    """Return the step that does another one again and again."""
    return lambda peer: peer.again(pause, lambda: step(peer))


UNHURRIED: dict[str, Any] = {"timeout": 60.0}
"""The deadline of floods. A busy machine takes its time to count them."""

PLACES = "record stream"
"""What triggers request. They submit nothing."""


def survived(name: str, section: str, play: Play, places: str = PLACES, **more: Any) -> Case:
    """Return the case of an answer that nobody can understand: a wait goes on.

    :param section: of RFC 9113, or another RFC and its section.
    """
    return broken(name, _clause(section), play, places, **({"ways": ("trigger",), "is_http2": True} | more))


def understood(name: str, section: str, play: Play, places: str = PLACES, **more: Any) -> Case:
    """Return the case of an answer that breaks no rule, so that it must be understood.

    :param section: of RFC 9113, or another RFC and its section.
    """
    return valid(name, _clause(section), play, places, **({"ways": ("trigger",), "is_http2": True} | more))


def each_time(*cases: Case) -> Iterator[Case]:
    """Yield cases, and each of them once more with a misbehaviour that lasts."""
    for case in cases:
        yield case
        yield replace(case, name=f"{case.name}, each time", times=None, ends="before")


def _clause(section: str) -> str:
    return section if section.startswith("RFC") else f"RFC 9113, {section}"
