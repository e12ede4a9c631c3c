"""What the emulator was asked, and what it answered."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode

Kind = Literal["submit", "record", "stream", "replay", "trigger", "run_record", "run_stream", "update", "catalogue"]
"""The endpoints: what a request asks for."""

HIDDEN = "***"
_SECRET_HEADERS = frozenset({"x-api-key", "x-sdk-signature", "authorization"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One request.

    :param kind: which endpoint it is for; None if for none.
    :param path: URL path without the query.
    :param headers: names in lower case; the values of the API key and the signature are hidden.
    :param body: the bytes that arrived. A body with a ``callbackSecret`` is written anew without the secret.
    :param json: the parsed body; None if there is none or it is not JSON.
    :param status: HTTP status of the answer; None until it is sent.
    :param received_at: wall-clock time of arrival, in Unix seconds; this machine's clock, not the emulator's.
    :param monotonic: the same moment on the monotonic clock, to measure distances between requests.
    """

    method: str
    path: str
    kind: str | None
    headers: Mapping[str, str]
    body: bytes
    json: Any
    status: int | None = None
    received_at: float = field(default_factory=time.time)
    monotonic: float = field(default_factory=time.monotonic)

    def matches(
        self, method: str | None = None, path: str | re.Pattern[str] | None = None, kind: Kind | None = None
    ) -> bool:
        """Tell whether the request is such a one.

        :param path: a glob (``*`` crosses slashes), or a compiled regular expression for the whole path.
        """
        if path is None:
            fits = True
        elif isinstance(path, str):
            fits = fnmatchcase(self.path, path)
        else:
            fits = path.fullmatch(self.path) is not None
        return fits and method in (None, self.method) and kind in (None, self.kind)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        return {
            "method": self.method,
            "path": self.path,
            "kind": self.kind,
            "headers": dict(self.headers),
            "body": self.body.decode(errors="replace"),
            "status": self.status,
            "receivedAt": self.received_at,
        }


class Journal:
    """All requests since the last reset, in order of arrival."""

    def __init__(self) -> None:
        self.changes = Changes()
        self._entries: dict[int, Entry] = {}
        self._count = 0

    @property
    def entries(self) -> list[Entry]:
        """A copy of the journal."""
        return list(self._entries.values())

    def arrived(self, method: str, path: str, kind: str | None, headers: Mapping[str, str], body: bytes) -> int:
        """Write a request down and return its number."""
        shown = {name: HIDDEN if name in _SECRET_HEADERS else value for name, value in headers.items()}
        body, parsed = _without_secret(body)
        self._count += 1
        self._entries[self._count] = Entry(method, path, kind, shown, body, parsed)
        self.changes.notify()
        return self._count

    def entry(self, number: int) -> Entry:
        """Return a request by its number."""
        return self._entries[number]

    def answered(self, number: int, status: int) -> None:
        """Note the status of the answer to a request, unless the journal was cleared since."""
        if number in self._entries:
            self._entries[number] = replace(self._entries[number], status=status)
            self.changes.notify()

    def clear(self) -> None:
        """Forget all requests."""
        self._entries.clear()


def _without_secret(body: bytes) -> tuple[bytes, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return (HIDDEN.encode() if b"callbackSecret" in body else body), None
    if isinstance(parsed, dict) and "callbackSecret" in parsed:
        parsed["callbackSecret"] = HIDDEN
        body = encode(parsed)
    return body, parsed
