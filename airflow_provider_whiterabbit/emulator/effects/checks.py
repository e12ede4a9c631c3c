"""Checks of what effects are given: in Python a mistake of a test, over HTTP a 422."""

from __future__ import annotations


def check_not_negative(**numbers: float | None) -> None:
    """Check numbers by their names; None is let pass.

    :raises ValueError: if one is negative.
    :raises TypeError: if one is not a number.
    """
    for name, number in numbers.items():
        if number is not None and number < 0:
            raise ValueError(f"{name} must not be negative")
