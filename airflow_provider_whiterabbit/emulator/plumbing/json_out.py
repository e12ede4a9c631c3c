"""Encoding of the JSON that the emulator sends."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


def encode(value: Any) -> bytes:
    """Return a value as compact JSON in UTF-8.

    :raises TypeError: if the value contains anything but dicts, lists, strings, numbers, booleans and None.
    :raises ValueError: if the value contains NaN or an infinity.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # UTF-8 has no lone surrogates. JavaScript escapes them, and Python's escape for them is the same.
    return text.encode("utf-8", "backslashreplace")


class JsonResponse(Response):
    """An HTTP response with a JSON body."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the JSON body of the HTTP response as bytes."""
        return encode(content)
