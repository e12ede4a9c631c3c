"""Reading White Rabbit's JSON, which is JavaScript's: its integers, and the first members of a large object."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any

_LONGEST = 20
"""Characters of the longest integer of 64 bits, signed or not."""


def integer(digits: str) -> int | float | str:
    """Read an integer, as ``parse_int`` of `json.loads`, so that Airflow can hand it on.

    Airflow 3 sends XComs as MessagePack, whose integers end at 64 bits. JavaScript writes its numbers below 1e21
    without an exponent (ECMA-262, Number::toString), so one beyond 64 bits is a float in truth, and becomes one. Should
    it have more digits than JavaScript's numbers keep, it becomes their text: none is lost.
    """
    if len(digits) <= _LONGEST and -(2**63) <= (number := int(digits)) < 2**64:
        return number
    value = float(digits)
    return value if Decimal(repr(value)) == Decimal(digits) else digits


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
