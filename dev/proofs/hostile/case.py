"""A misbehaviour, and the specification of how waits and submissions end under it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dev.proofs.hostile.server import Server, Target

Verdict = Literal[
    "ended",
    "failed",
    "error",
    "ended or error",
    "timeout",
    "unstorable",
    "submitted",
    "refused",
    "uncertain",
    "submitted or uncertain",
]
"""How a wait or a submission ends: see docs/reliability.md."""

Way = Literal["hook", "trigger", "poke", "component", "workflow"]
"""The hook's blocking wait, the trigger, a poking sensor, and the submissions of the two operators."""

Play = Callable[[Any, "Server"], None]
"""Writes the bytes of a misbehaviour, through a `Peer` or, in HTTP/2, an `Http2Peer`."""

WAITS: dict[str, tuple[Way, ...]] = {
    "record": ("hook", "trigger", "poke"),
    "stream": ("hook", "trigger"),
    "submission": ("component", "workflow"),
}
"""The ways in which a request of each kind is sent."""


@dataclass(frozen=True)
class Case:
    """A misbehaviour.

    :param clause: what it violates, or what it makes use of: a section of a standard.
    :param play: writes the bytes of an answer.
    :param record: the verdict specified for waits, if the answer to a read of the record is affected; None if the
        misbehaviour makes no sense there.
    :param stream: the verdict specified for waits, if an event stream is affected.
    :param submission: the verdict specified for submissions.
    :param times: how many requests are affected, one after another; None for all.
    :param is_valid: the answer breaks no rule, so the client must understand it: nothing else tells the end.
    :param ends: when the execution ends: ``after`` the last affected request has arrived, ``before`` the first one, or
        ``never``.
    :param status: with which status it ends.
    :param timeout: seconds until the deadline of a wait.
    :param within: seconds in which a cell must end; None for the deadline.
    :param request_timeout: the connection's time-out, in seconds.
    :param recheck_after: seconds after which the record is read although the stream lives.
    :param ways: the ways that it is run in; None for all that send such requests.
    :param poke: the verdict of a poking sensor, if it differs.
    :param targets: what is waited for.
    :param submissions: how many submissions the server receives.
    :param max_lines: how many lines the log may have.
    :param is_http2: the server speaks HTTP/2. Only triggers do.
    :param is_greeting: the misbehaviour begins with the connection, before any request.
    :param waits: how many waits are run at the same time, in one process.
    :param is_heavy: it needs a processor for a while, so few such cases run at the same time.
    """

    name: str
    clause: str
    play: Play = field(compare=False)
    record: Verdict | None = None
    stream: Verdict | None = None
    submission: Verdict | None = None
    times: int | None = 1
    is_valid: bool = False
    ends: Literal["after", "before", "never"] = "after"
    status: str = "COMPLETED"
    timeout: float = 20.0
    within: float | None = None
    request_timeout: float = 1.0
    recheck_after: float = 1.0
    ways: tuple[Way, ...] | None = None
    poke: Verdict | None = None
    targets: tuple[Target, ...] = ("execution",)
    submissions: int = 1
    max_lines: int = 40
    is_heavy: bool = False
    is_http2: bool = False
    is_greeting: bool = False
    waits: int = 1
