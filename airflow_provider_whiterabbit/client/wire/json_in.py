"""Reads White Rabbit's JSON: integers as JavaScript writes integers, and the first members of a large JSON object."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any

_MAX_DIGITS = 20
"""Length, in characters, of the longest integer of 64 bits, with or without a sign."""


def integer(digits: str) -> int | float | str:
    """Parse the digits of a JSON integer into a value that fits into an XCom (as the ``parse_int`` of `json.loads`).

    Airflow 3 sends XComs as MessagePack, whose integers end at 64 bits. JavaScript writes floats below 1e21 without an
    exponent (ECMA-262, Number::toString), so an integer beyond 64 bits was a float, and becomes one again. An integer
    with more digits than a float keeps becomes a string, so that no digit is lost.
    """
    if len(digits) <= _MAX_DIGITS and -(2**63) <= (number := int(digits)) < 2**64:
        return number
    value = float(digits)
    return value if Decimal(repr(value)) == Decimal(digits) else digits


_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode
_utf8 = codecs.getincrementaldecoder("utf-8")  # tolerates a cut last character


def peek(head: bytes, names: Collection[str]) -> dict[str, Any] | None:
    """Return the named members of a JSON object from its first bytes; None if the bytes lack a whole named member.

    A trigger needs an execution's status, not its output: parsing 50 MB would block the event loop for seconds.

    :param head: the beginning of a JSON object in UTF-8, cut anywhere.
    """
    found: dict[str, Any] = {}
    try:
        text = _utf8().decode(head)
        position = _after(text, 0, "{")
        while True:
            name, position = _decode(text, position)
            value, position = _decode(text, _after(text, position, ":"))
            position = _after(text, position, ",", "}")  # a number without a mark behind it may be cut
            if name in names:
                found[name] = value
                if len(found) == len(names):
                    return found
    except (ValueError, RecursionError):
        return None


def _after(text: str, position: int, *marks: str) -> int:
    """Return the position of the JSON token that follows one of the given punctuation marks.

    :raises ValueError: if none of the marks is next.
    """
    position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
    if not text.startswith(marks, position):
        raise ValueError
    return _SPACE.match(text, position + 1).end()  # type: ignore[union-attr]
