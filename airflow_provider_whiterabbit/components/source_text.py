"""Python source text of values."""

from __future__ import annotations

from typing import Any

WIDTH = 88
"""The length of a line at which most formatters break it."""


def literal(value: Any) -> str:
    """Return a JSON value as a Python expression on one line."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text(name)}: {literal(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def text(value: str) -> str:
    """Return a text as a string literal that no formatter changes; what does not print is escaped."""
    return '"' + "".join(map(_character, value)) + '"'


def _character(char: str) -> str:
    if char == '"':
        return "\\x22"  # a formatter would choose other quotes for the whole literal
    if char == "\\" or not char.isprintable():
        return char.encode("unicode_escape").decode()
    return char


def words(value: str, limit: int) -> str:
    """Return a text for a docstring: without what could end it, escape something, or break the line."""
    cleaned = "".join("'" if char in '"\\' else char if char.isprintable() else " " for char in value)
    return " ".join(cleaned.split())[:limit].rstrip()


def statement(line: str) -> str:
    """Return a statement on one line, with a mark for formatters if the line is too long."""
    return line if len(line) <= WIDTH else f"{line}  # fmt: skip"
