"""JSON bytes exactly as JavaScript would write them.

White Rabbit verifies a signature over ``JSON.stringify`` of the body that it parsed, so the bytes that we send must be
a fixed point of ``JSON.stringify(JSON.parse(bytes))``. What differs from Python's `json.dumps`:

- numbers follow ECMA-262, Number::toString: ``1.0`` is ``1``, ``1e-07`` is ``1e-7``, ``-0.0`` is ``0``;
- text is not escaped beyond what JSON demands (ECMA-262, QuoteJSONString);
- keys that are array indices come first, in numeric order (ECMA-262, OrdinaryOwnPropertyKeys); the others keep theirs.

What JavaScript would change silently is refused instead, with the place where it stands: integers beyond ±(2^53 - 1),
NaN and the infinities, lone surrogates, keys that are not strings.

Bodies can be megabytes, so `json.dumps`, which is written in C, does the writing. Before that, what it would write
otherwise than JavaScript is replaced by what it writes alike; everything else is left as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
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

_MARK = "\ud800"  # stands before a number that is written as text; a lone surrogate, which no text may hold
_MARKED = re.compile(f'"{_MARK}([^"]*)"')

_write = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")).encode


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

    :param value: made of mappings with string keys, sequences, `str`, `int`, `float`, `bool` and `None`.
    :raises WhiteRabbitInputError: if JavaScript could not hold the value unchanged; names the place, as
        ``input.amounts[3]``.
    """
    try:
        alike = _Likeness().of(value, MAX_DEPTH)
    except _RefusedError as refused:
        raise WhiteRabbitInputError(f"{refused.place()}: {refused}") from None
    return _MARKED.sub(r"\1", _write(alike)).encode()


class _Likeness:
    """Finds for a value one that `json.dumps` writes as JavaScript would write the first: mostly the value itself.

    Containers are copied only where they change. Their loops ask what is common in place, since that is most of the
    time that a body takes.
    """

    def __init__(self) -> None:
        self._names: set[str] = set()  # keys that stay where they are: most come again and again

    def of(self, value: Any, depth: int) -> Any:
        """Return a value's likeness.

        :param depth: how many levels of containers it may have.
        """
        if isinstance(value, dict):
            return self._object(value, depth - 1)
        if isinstance(value, list | tuple):
            return self._array(value, depth - 1)
        if isinstance(value, str):
            return _checked_text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
                raise _RefusedError("an integer beyond ±(2^53 - 1) loses digits in JavaScript; pass it as a str")
            return value
        if isinstance(value, float):
            return _number(value)
        if isinstance(value, Mapping):  # these two last, because abstract classes are slow to ask
            return self._object(value, depth - 1)
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return self._array(list(value), depth - 1)  # the outputs of a mapped task, for one
        raise _RefusedError(
            f"a {type(value).__name__} is not JSON; pass a str, int, float, bool, None, list or dict (money: a str)"
        )

    def _object(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        kept = value if type(value) is dict and value.keys() <= self._names else self._ordered(value)
        changes = self._changes(kept.items(), depth)
        return kept | changes if changes else kept

    def _array(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any] | tuple[Any, ...]:
        changes = self._changes(enumerate(value), depth)
        if not changes:
            return value
        copy = list(value)
        for index, item in changes.items():
            copy[index] = item
        return copy

    def _changes(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[Any, Any]:
        """Return, by key, what is to stand in the place of some items."""
        changes = {}
        for key, item in items:
            kind = type(item)
            if depth > 0 and (
                (kind is str and item.isascii())
                or (kind is int and -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER)
                or item is None
                or kind is bool
            ):
                continue
            try:
                if depth <= 0:
                    raise _RefusedError(f"nested deeper than {MAX_DEPTH} levels (or it contains itself)")
                alike = self.of(item, depth)
            except _RefusedError as refused:
                refused.keys.append(key)
                raise
            if alike is not item:
                changes[key] = alike
        return changes

    def _ordered(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        """Return the items in the order in which JavaScript keeps them."""
        indices: list[str] = []
        for key in value:
            try:
                if not isinstance(key, str):
                    raise _RefusedError(f"the key is a {type(key).__name__}; JSON keys are strings")
                _checked_text(key)
            except _RefusedError as refused:
                refused.keys.append(key)
                raise
            if _INDEX.fullmatch(key) and int(key) <= _MAX_INDEX:
                indices.append(key)
            else:
                self._names.add(key)
        if not indices and type(value) is dict:
            return value
        indices.sort(key=int)
        return {key: value[key] for key in indices} | dict(value)


def _checked_text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _RefusedError(f"a lone surrogate at character {error.start} is not valid Unicode text") from None
    return value


def _number(value: float) -> float | int | str:
    """Return what is written like JavaScript's number: an integer without a fraction, for one."""
    if value.is_integer() and abs(value) <= MAX_SAFE_INTEGER:
        return int(value)
    if 1e-4 <= abs(value) < MAX_SAFE_INTEGER:  # where Python, too, writes the shortest digits without an exponent
        return value
    if not isfinite(value):
        raise _RefusedError("NaN and the infinities are not JSON; pass None or a str")
    return _MARK + rfc8785.dumps(float(value)).decode()
