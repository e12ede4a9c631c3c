"""Makes texts from outside fit for messages, logs and events.

White Rabbit's texts are whatever a component, a proxy or a block chain put into them. One lone surrogate (half of an
emoji, as JavaScript's ``slice`` leaves it) in a trigger's event ends the whole triggerer, one NUL fails a write to
PostgreSQL, and other control characters change the terminal that shows a log.
"""

from __future__ import annotations

import re

MAX_LENGTH = 2_000
"""How many characters a message has at most, with the note that it was cut."""

_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_UNFIT_FOR_A_LINE = re.compile(r"[\t\n\u2028-\u202e\u2066-\u2069]")


def clean(text: str, limit: int = MAX_LENGTH) -> str:
    """Return a text without lone surrogates and control characters, except tabs and line ends, and cut to a length.

    Each character that is not fit becomes U+FFFD; a carriage return becomes a space.

    :param limit: how many characters the result has at most. If the text is longer, the result says how long it was.
    """
    if len(text) > limit:
        note = f"… ({len(text)} characters)"
        text = f"{text[: max(0, limit - len(note))]}{note}"[:limit]
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r", " "))


def one_line(text: str, limit: int = MAX_LENGTH) -> str:
    """Return a text as `clean` does, but on one line, so that it can't pretend to be further lines of a log.

    Tabs, line ends of every kind, and characters that change the direction of the text become spaces.

    :param limit: as for `clean`.
    """
    return _UNFIT_FOR_A_LINE.sub(" ", clean(text, limit))
