"""The settings of an emulator, which can be changed while the emulator runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

EmptyBody = Literal["object", "omitted", "either"]
"""What a client must sign instead of a missing body: ``{}``, nothing (and no separator either), or any of the two."""

CallbackSignature = Literal["timed", "wr", "body", "both"]
"""How callbacks are signed; see `Settings`."""


MAX_BODY = 64 * 1024 * 1024
"""Bytes that the body of a request may have, unless a setting says otherwise."""


def _is_integer(low: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= low


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _are_ids(value: Any) -> bool:
    is_list = isinstance(value, Collection) and not isinstance(value, str)
    return value is None or (is_list and all(isinstance(item, str) for item in value))


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    r"""How an event stream behaves. Changed options apply only to streams that are opened after the change.

    :param announce: a new stream begins with the current status. If False, a stream that is opened after the end
        receives nothing but pings.
    :param newline: ``\n``, ``\r\n`` or ``\r``.
    :param ping: pings are sent as comments (``:ping``), as data (``data: :ping``), or ``alternating`` between the two.
    :param ping_interval: seconds between pings; None for no pings.
    :param terminal_event: if False, the stream closes without its terminal event.
    :param event_ids: each event has a line ``id:``, the number of the event in its stream. No status names the ids, and
        a client that sends one in ``Last-Event-ID`` still gets the current status.
    :param event_name: each event has a line ``event:`` with this name; None for no such line.
    :param retry: each event has a line ``retry:`` with this number of milliseconds; None for no such line.
    :raises ValueError: if the value of an option is not allowed.
    """

    announce: bool = True
    newline: Literal["\n", "\r\n", "\r"] = "\n"
    ping: Literal["comment", "data", "alternating"] = "comment"
    ping_interval: float | None = 15.0
    terminal_event: bool = True
    event_ids: bool = False
    event_name: str | None = None
    retry: int | None = None

    def __post_init__(self) -> None:
        if self.newline not in ("\n", "\r\n", "\r"):
            raise ValueError("newline must be LF, CRLF or CR")
        if self.ping not in ("comment", "data", "alternating"):
            raise ValueError("ping must be 'comment', 'data' or 'alternating'")
        if self.ping_interval is not None and not (_is_number(self.ping_interval) and self.ping_interval > 0):
            raise ValueError("ping_interval must be a positive number, or None for no pings")
        if self.event_name is not None and not (self.event_name and self.event_name.isprintable()):
            raise ValueError("event_name must be a text on one line, or None for no name")
        if self.retry is not None and not _is_integer(0)(self.retry):
            raise ValueError("retry must be an integer of at least 0, or None for no such line")


@dataclass(slots=True)
class Settings:
    """The settings of one emulator.

    :param require_signature: if False, a request is accepted with nothing but its ``X-Api-Key``.
    :param unsigned_streams: if True, a stream is accepted with nothing but its ``X-Api-Key``, as the examples in White
        Rabbit's documentation open it.
    :param empty_body_signature: what a request without a body must sign.
    :param allowed_workflows: ids of the workflows that the key may use, any other answers 403; None or no ids to allow
        all.
    :param streams: options of the streams whose execution or run has no options of its own.
    :param callback_attempts: how often the delivery of a callback is attempted.
    :param callback_backoff: seconds before the second attempt, doubled before each further attempt.
    :param callback_signature: how callbacks are signed: ``timed`` as documented, ``wr`` with ``X-WR-Signature`` over
        the body alone, ``body`` with ``X-Signature`` over the body alone and without a timestamp header, or ``both``
        ``timed`` and ``wr``.
    :param clock_offset: seconds that the emulator's clock is ahead of this machine's clock.
    :param max_body: bytes; a longer request body answers 413. White Rabbit's own limit is not documented.
    :raises ValueError: if the value of a setting is not allowed, also when it is set later.
    """

    require_signature: bool = True
    unsigned_streams: bool = False
    empty_body_signature: EmptyBody = "object"
    allowed_workflows: Collection[str] | None = None
    streams: StreamOptions = field(default_factory=StreamOptions)
    callback_attempts: int = 3
    callback_backoff: float = 0.2
    callback_signature: CallbackSignature = "timed"
    clock_offset: float = 0.0
    max_body: int = MAX_BODY

    def __setattr__(self, name: str, value: Any) -> None:
        is_right, what = _ALLOWED.get(name, (None, ""))
        if is_right is not None and not is_right(value):
            raise ValueError(f"{name} must be {what}, not {value!r:.80}")
        object.__setattr__(self, name, value)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change the emulator's settings, given by name. ``streams`` may hold only the stream options that change.

        :raises ValueError: if a setting does not exist, or its value is not allowed.
        """
        unknown = changes.keys() - {setting.name for setting in fields(self)}
        if unknown:
            raise ValueError(f"no such settings: {', '.join(sorted(unknown))}")
        for name, value in changes.items():
            setattr(self, name, replace(self.streams, **value) if name == "streams" else value)

    def restore(self, earlier: Settings) -> None:
        """Set every setting of the emulator to the value that the setting has in `earlier`."""
        for setting in fields(self):
            setattr(self, setting.name, getattr(earlier, setting.name))


def _choice(words: Any) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in get_args(words), f"one of {', '.join(get_args(words))}"


_ALLOWED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "require_signature": (_is_flag, "true or false"),
    "unsigned_streams": (_is_flag, "true or false"),
    "empty_body_signature": _choice(EmptyBody),
    "allowed_workflows": (_are_ids, "a list of ids, or None"),
    "streams": (lambda value: isinstance(value, StreamOptions), "StreamOptions"),
    "callback_attempts": (_is_integer(1), "an integer of at least 1"),
    "callback_backoff": (lambda value: _is_number(value) and value >= 0, "a number of at least 0"),
    "callback_signature": _choice(CallbackSignature),
    "clock_offset": (_is_number, "a number"),
    "max_body": (_is_integer(0), "an integer of at least 0"),
}
"""What each setting may be: a wrong one would let tests pass, or break every request."""
