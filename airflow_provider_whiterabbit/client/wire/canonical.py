"""Writes JSON as bytes, exactly as JavaScript's ``JSON.stringify`` does.

White Rabbit verifies a signature over ``JSON.stringify`` of the body that it parsed, so the bytes that are sent must be
a fixed point of ``JSON.stringify(JSON.parse(bytes))``. Python's `json.dumps` differs in three points:

- numbers follow ECMA-262, Number::toString: ``1.0`` is ``1``, ``1e-07`` is ``1e-7``, ``-0.0`` is ``0``;
- text is not escaped beyond what JSON demands (ECMA-262, QuoteJSONString);
- keys that are array indices come first, in numeric order (ECMA-262, OrdinaryOwnPropertyKeys); the others keep theirs.

Values that JavaScript would change silently are refused, with their place in the body: integers beyond ±(2^53 - 1), NaN
and the infinities, lone surrogates, keys that are not strings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

MAX_SAFE_INTEGER = 2**53 - 1
"""JavaScript's ``Number.MAX_SAFE_INTEGER``: JavaScript loses digits of larger integers."""

MAX_DEPTH = 200
"""Deepest nesting of JSON objects and arrays. An object or array that contains itself exceeds the limit, too."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_MAX_INDEX = 2**32 - 2  # ECMA-262, array index
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class _RefusedError(Exception):
    """Raised for a value that JavaScript can't hold unchanged; enclosing objects and arrays add to the value's path."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.keys: list[Any] = []

    def place(self) -> str:
        """Return the path of the refused value in the request's body, such as ``input.amounts[3]``."""
        path = ""
        for key in reversed(self.keys):
            if isinstance(key, str) and _PLAIN_KEY.fullmatch(key):
                path += f".{key}" if path else key
            else:
                path += f"[{key!r}]"
        return path or "the body"


def to_json(value: Any) -> bytes:
    """Return a value as JSON in UTF-8, with exactly the bytes that JavaScript's ``JSON.stringify`` writes.

    :param value: made of mappings with string keys, sequences, `str`, `int`, `float`, `bool` and `None`.
    :raises WhiteRabbitInputError: if JavaScript can't hold the value unchanged. The message names its place, as
        ``input.amounts[3]``.
    """
    try:
        return _written(value, MAX_DEPTH).encode()
    except _RefusedError as refused:
        raise WhiteRabbitInputError(f"{refused.place()}: {refused}") from None


def _written(value: Any, depth: int) -> str:
    """Return a Python value as JSON text.

    :param depth: how many levels of JSON objects and arrays the value may have.
    """
    if isinstance(value, str):
        return _string(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            raise _RefusedError("an integer beyond ±(2^53 - 1) loses digits in JavaScript; pass it as a str")
        return int.__repr__(value)  # not that of an IntEnum
    if isinstance(value, float):
        return _float(value)
    if depth <= 0:
        raise _RefusedError(f"nested deeper than {MAX_DEPTH} levels (or it contains itself)")
    if isinstance(value, dict):  # before Mapping, an abstract class, whose check is slow
        return _object(value, depth - 1)
    if isinstance(value, list | tuple):
        return _array(value, depth - 1)
    if isinstance(value, Mapping):
        return _object(value, depth - 1)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return _array(value, depth - 1)
    raise _RefusedError(
        f"a {type(value).__name__} is not JSON; pass a str, int, float, bool, None, list or dict (money: a str)"
    )


def _object(value: Mapping[Any, Any], depth: int) -> str:
    key: Any = None
    members, indexed = [], []
    try:
        for key, item in value.items():
            if not isinstance(key, str):
                raise _RefusedError(f"the key is a {type(key).__name__}; JSON keys are strings")
            member = f"{_string(key)}:{_written(item, depth)}"
            if "0" <= key[:1] <= "9" and _INDEX.fullmatch(key) and int(key) <= _MAX_INDEX:
                indexed.append((int(key), member))
            else:
                members.append(member)
    except _RefusedError as refused:
        refused.keys.append(key)
        raise
    return "{" + ",".join([*(member for _, member in sorted(indexed)), *members]) + "}"


def _array(value: Sequence[Any], depth: int) -> str:
    items: list[str] = []
    try:
        for item in value:
            items.append(_written(item, depth))  # noqa: PERF401 (the error needs to know how many there are)
    except _RefusedError as refused:
        refused.keys.append(len(items))
        raise
    return f"[{','.join(items)}]"


def _string(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _RefusedError(f"a lone surrogate at character {error.start} is not valid Unicode text") from None
    return encode_basestring(value)


def _float(value: float) -> str:
    if 1e-4 <= abs(value) < MAX_SAFE_INTEGER and not value.is_integer():
        return float.__repr__(value)  # in this range Python, too, writes the shortest digits without an exponent
    if not isfinite(value):
        raise _RefusedError("NaN and the infinities are not JSON; pass None or a str")
    import rfc8785  # not when a DAG is parsed, whose literals are checked with this module

    return rfc8785.dumps(float(value)).decode()
