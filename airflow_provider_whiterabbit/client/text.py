"""Makes texts from outside fit for messages, logs and events.

White Rabbit's texts are whatever a component, a proxy or a block chain put into them. One lone surrogate (half of an
emoji, as JavaScript's ``slice`` leaves it) in a trigger's event ends the whole triggerer, one NUL fails a write to
PostgreSQL, and other control characters change the terminal that shows a log. The controls of the writing direction
(Unicode Standard Annex 9) show a text in another order than it has, which can make an address look like another one.
The line and paragraph separators break a line of a log in two.
"""

from __future__ import annotations

import re

MAX_LENGTH = 2_000
"""How many characters a message has at most, with the note that it was cut."""

TOO_DEEP = "an error that is nested too deeply to be shown"
"""What messages show instead of an error of White Rabbit whose JSON is nested too deeply for Python."""

_UNFIT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"  # bidi controls last
)
_UNFIT_FOR_A_LINE = re.compile(r"[\t\n]")


def clean(text: str, limit: int = MAX_LENGTH) -> str:
    """Return a text without lone surrogates and controls, except tabs and line ends, and cut to a length.

    Each character that is not fit becomes U+FFFD; a carriage return becomes a space.

    :param limit: how many characters the result has at most. If the text is longer, the result says how long it was.
    """
    if len(text) > limit:
        note = f"… ({len(text)} characters)"
        text = f"{text[: max(0, limit - len(note))]}{note}"[:limit]
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r", " "))


def one_line(text: str, limit: int = MAX_LENGTH) -> str:
    """Return a text as `clean` does, but on one line, so that it can't pretend to be further lines of a log.

    Tabs and line ends become spaces.

    :param limit: as for `clean`.
    """
    return _UNFIT_FOR_A_LINE.sub(" ", clean(text, limit))
