"""Integers of White Rabbit's JSON, which is JavaScript's."""

from __future__ import annotations

from decimal import Decimal

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
