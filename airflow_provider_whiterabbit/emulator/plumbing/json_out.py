"""JSON on its way out."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


def encode(value: Any) -> bytes:
    """Return compact JSON in UTF-8.

    :raises TypeError: if there is anything but dicts, lists, strings, numbers, booleans and None in it.
    :raises ValueError: if there is NaN or an infinity in it.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # UTF-8 has no lone surrogates; JavaScript escapes them, and Python's escape for them is the same.
    return text.encode("utf-8", "backslashreplace")


class JsonResponse(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return encode(content)
