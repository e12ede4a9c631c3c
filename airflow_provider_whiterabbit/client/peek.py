"""The first members of a JSON object, out of its first bytes.

A trigger wants to know an execution's status, not its output, which may be large: reading and parsing 50 MB would keep
the event loop from thousands of other waits for seconds.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode
_utf8 = codecs.getincrementaldecoder("utf-8")  # takes no offence at a character that is cut at the end


def peek(head: bytes, names: Collection[str]) -> dict[str, Any] | None:
    """Return the members of these names, or None unless all of them stand whole in the first bytes.

    :param head: the beginning of a JSON object in UTF-8, cut anywhere.
    """
    found: dict[str, Any] = {}
    try:
        text = _utf8().decode(head)
        position = _after(text, 0, "{")
        while True:
            name, position = _decode(text, position)
            value, position = _decode(text, _after(text, position, ":"))
            position = _after(text, position, ",", "}")  # without one of them a number may have been cut
            if name in names:
                found[name] = value
                if len(found) == len(names):
                    return found
    except (ValueError, RecursionError):
        return None


def _after(text: str, position: int, *marks: str) -> int:
    """Return where the next token begins after one of these punctuation marks."""
    position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
    if not text.startswith(marks, position):
        raise ValueError
    return _SPACE.match(text, position + 1).end()  # type: ignore[union-attr]
