"""Reduces a large JSON object to its top level while its bytes arrive, without keeping or parsing the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from itertools import accumulate
from typing import Any

from airflow_provider_whiterabbit.client.wire.json_in import peek

MAX_STRING_BYTES = 1024
"""Size, in bytes, to which the skimmer cuts the strings of an object's top level."""

MAX_SKETCH_BYTES = 32 * 1024
"""Size, in bytes, of the largest top level that the skimmer keeps."""

_WINDOW = 4 * 1024
"""How many bytes within a container the skimmer looks at together."""

_BOM = b"\xef\xbb\xbf"
_PLAIN = re.compile(rb'[^"\[\]{}]*+')
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_CHARACTERS = re.compile(rb"(?:[^\\]++|\\[^u]|\\u[0-9a-fA-F]{4})*+", re.DOTALL)

_DELTAS = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]
_NO_BRACKETS = bytes(byte for byte in range(256) if not _DELTAS[byte])


class Skimmer:
    """Reads the bytes of a JSON object, and makes a *sketch* of it: the object with empty containers and short strings.

    A trigger needs an execution's status, not its output: parsing 50 MB would block the event loop for seconds. The
    time of one call of `feed` depends on the size of the piece alone, also for deep nesting and for one huge string.

    :param names: the members that are needed: strings, numbers or literals.
    """

    __slots__ = ("_depth", "_in_string", "_members", "_names", "_sketch", "_string_at", "_tail")

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._sketch = bytearray()
        self._tail = b""
        self._depth = 0
        self._in_string = False
        self._string_at = 0
        self._members: dict[str, Any] | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the object.

        :raises ValueError: if they are not the JSON of an object, or its top level is too large.
        """
        before = len(self._sketch)
        piece = self._tail + piece
        position, self._tail = len(_BOM) if not before and piece.startswith(_BOM) else 0, b""
        while position < len(piece) and len(self._sketch) <= MAX_SKETCH_BYTES:
            step = self._step_nested if self._depth > 1 else self._step_string if self._in_string else self._step_top
            position = step(piece, position)
        if self._sketch and not self._sketch.startswith(b"{"):
            raise ValueError("the answer is not a JSON object")
        if len(self._sketch) > MAX_SKETCH_BYTES:
            raise ValueError("the answer's JSON object has too many members")
        if len(self._sketch) > before and self._members is None:
            self._members = peek(bytes(self._sketch), self._names)

    @property
    def is_complete(self) -> bool:
        """Whether all the needed members were found, so that the rest of the object is of no use."""
        return self._members is not None

    def result(self) -> bytes:
        """Return the JSON of the needed members; of the sketch, which may be cut off, if some of them are missing."""
        return bytes(self._sketch) if self._members is None else json.dumps(self._members).encode()

    def _step_top(self, piece: bytes, position: int) -> int:
        end = _end(_PLAIN, piece, position)
        if end > position:
            self._sketch += piece[position:end].translate(None, b" \t\n\r")
            return end
        mark = piece[position : position + 1]
        self._sketch += mark
        if mark == b'"':
            self._in_string, self._string_at = True, len(self._sketch)
        else:
            self._depth += 1 if mark in b"[{" else -1
        return position + 1

    def _step_nested(self, piece: bytes, position: int) -> int:
        window = piece[position : position + _WINDOW]
        if (len(window) - len(window.rstrip(b"\\"))) % 2:  # the escaped character is behind the window
            window = window[:-1]
            if not window:
                self._tail = piece[position:]
                return len(piece)
        parts = window.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        brackets = b"".join(parts[self._in_string :: 2]).translate(None, _NO_BRACKETS)
        depths = list(accumulate(map(_DELTAS.__getitem__, brackets), initial=self._depth))
        if min(depths) <= 1:
            return position + self._leave(window)
        self._depth = depths[-1]
        self._in_string ^= len(parts) % 2 == 0
        return position + len(window)

    def _leave(self, window: bytes) -> int:
        """Return the position behind the bracket of a window that ends the outermost container."""
        begin = _end(_STRING, window, 0) + 1 if self._in_string else 0
        self._in_string = False
        for token in _TOKEN.finditer(window, begin):
            self._depth += _DELTAS[token[0][0]]
            if self._depth == 1:
                self._sketch += token[0]  # it belongs to the sketch
                return token.end()
        raise ValueError("the answer is not JSON")  # a backslash outside of a string

    def _step_string(self, piece: bytes, position: int) -> int:
        end = _end(_STRING, piece, position)
        room = self._string_at + MAX_STRING_BYTES - len(self._sketch)
        self._sketch += piece[position : min(end, position + room)]
        if end == len(piece):
            return end
        if piece.startswith(b"\\", end):  # the escaped character is in the next piece
            self._tail = piece[end:]
            return len(piece)
        if len(self._sketch) == self._string_at + MAX_STRING_BYTES:  # it may be cut within a character
            self._sketch[self._string_at :] = _whole_characters(bytes(self._sketch[self._string_at :]))
        self._sketch += b'"'
        self._in_string = False
        return end + 1


def _end(pattern: re.Pattern[bytes], piece: bytes, position: int) -> int:
    """Return the position behind what a pattern, which also matches nothing, matches at a position."""
    match = pattern.match(piece, position)
    return match.end() if match else position


def _whole_characters(text: bytes) -> bytes:
    """Return the inside of a JSON string without an escape or a character that is cut at its end."""
    return text[: _end(_CHARACTERS, text, 0)].decode(errors="ignore").encode()
