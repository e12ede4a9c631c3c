"""JSON bytes exactly as JavaScript would write them.

White Rabbit verifies a signature over ``JSON.stringify`` of the body that it parsed, so the bytes that we send must be
a fixed point of ``JSON.stringify(JSON.parse(bytes))``. What differs from Python's `json.dumps`:

- numbers follow ECMA-262, Number::toString: ``1.0`` is ``1``, ``1e-07`` is ``1e-7``, ``-0.0`` is ``0``;
- text is not escaped beyond what JSON demands (ECMA-262, QuoteJSONString);
- keys that are array indices come first, in numeric order (ECMA-262, OrdinaryOwnPropertyKeys); the others keep theirs.

What JavaScript would change silently is refused instead, with the place where it stands: integers beyond ±(2^53 - 1),
NaN and the infinities, lone surrogates, keys that are not strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring as quote
from math import isfinite
from typing import Any

import rfc8785

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

MAX_SAFE_INTEGER = 2**53 - 1
"""Number.MAX_SAFE_INTEGER: beyond it, JavaScript loses digits."""

MAX_DEPTH = 200
"""Deepest nesting of containers; a cycle is found by it too."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_MAX_INDEX = 2**32 - 2  # ECMA-262, array index
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class _RefusedError(Exception):
    """Carries the reason up; each level on its way adds its own key, so that only errors pay for paths."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.keys: list[Any] = []

    def place(self) -> str:
        text = ""
        for key in reversed(self.keys):
            if isinstance(key, str) and _PLAIN_KEY.fullmatch(key):
                text += f".{key}" if text else key
            else:
                text += f"[{key!r}]"
        return text or "the body"


def to_json(value: Any) -> bytes:
    """Return the UTF-8 bytes of a JSON value as ``JSON.stringify`` writes them.

    :param value: made of `dict` with string keys, `list`, `tuple`, `str`, `int`, `float`, `bool` and `None`.
    :raises WhiteRabbitInputError: if JavaScript could not hold the value unchanged; names the place, as
        ``input.amounts[3]``.
    """
    parts: list[str] = []
    try:
        _write(value, parts.append, MAX_DEPTH)
    except _RefusedError as refused:
        raise WhiteRabbitInputError(f"{refused.place()}: {refused}") from None
    return "".join(parts).encode()


def _write(value: Any, emit: Callable[[str], None], depth: int) -> None:
    if isinstance(value, str):
        emit(_text(value))
    elif value is None:
        emit("null")
    elif value is True:
        emit("true")
    elif value is False:
        emit("false")
    elif isinstance(value, int):
        emit(_integer(value))
    elif isinstance(value, float):
        emit(_number(value))
    elif isinstance(value, Mapping):
        _write_object(value, emit, depth - 1)
    elif isinstance(value, list | tuple):
        _write_array(value, emit, depth - 1)
    else:
        raise _RefusedError(
            f"a {type(value).__name__} is not JSON; pass a str, int, float, bool, None, list or dict (money: a str)"
        )


def _write_object(value: Mapping[Any, Any], emit: Callable[[str], None], depth: int) -> None:
    separator = "{"
    for key, item in _in_javascript_order(value):
        try:
            emit(separator + _text(key) + ":")
            _write(item, emit, _checked(depth))
        except _RefusedError as refused:
            refused.keys.append(key)
            raise
        separator = ","
    emit("}" if value else "{}")


def _write_array(value: list[Any] | tuple[Any, ...], emit: Callable[[str], None], depth: int) -> None:
    separator = "["
    for index, item in enumerate(value):
        try:
            emit(separator)
            _write(item, emit, _checked(depth))
        except _RefusedError as refused:
            refused.keys.append(index)
            raise
        separator = ","
    emit("]" if value else "[]")


def _checked(depth: int) -> int:
    if depth <= 0:
        raise _RefusedError(f"nested deeper than {MAX_DEPTH} levels (or it contains itself)")
    return depth


def _in_javascript_order(value: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    indices: list[tuple[str, Any]] = []
    others: list[tuple[str, Any]] = []
    for item in value.items():
        key = item[0]
        if not isinstance(key, str):
            refused = _RefusedError(f"the key is a {type(key).__name__}; JSON keys are strings")
            refused.keys.append(key)
            raise refused
        is_index = _INDEX.fullmatch(key) and int(key) <= _MAX_INDEX
        (indices if is_index else others).append(item)
    indices.sort(key=lambda item: int(item[0]))
    return indices + others


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _RefusedError(f"a lone surrogate at character {error.start} is not valid Unicode text") from None
    return quote(value)


def _integer(value: int) -> str:
    if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        raise _RefusedError("an integer beyond ±(2^53 - 1) loses digits in JavaScript; pass it as a str")
    return int.__repr__(value)


def _number(value: float) -> str:
    if not isfinite(value):
        raise _RefusedError("NaN and the infinities are not JSON; pass None or a str")
    return rfc8785.dumps(float(value)).decode()
