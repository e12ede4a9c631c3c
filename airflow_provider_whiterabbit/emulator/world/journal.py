"""The journal: all HTTP requests that the emulator received, and the status of each HTTP response."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode

Kind = Literal["submit", "record", "stream", "replay", "trigger", "run_record", "run_stream", "update", "catalogue"]
"""The kind of a request: the White Rabbit endpoint that the request is for."""

Predicate = Callable[["Entry"], object]
"""A function that chooses requests: it takes a received request and returns something true for a chosen one."""

HIDDEN = "***"
_SECRET_HEADERS = frozenset({"x-api-key", "x-sdk-signature", "authorization"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One HTTP request that the emulator received.

    :param kind: the endpoint (see `Kind`); None if no endpoint has this path and method.
    :param path: URL path without the query.
    :param headers: names in lower case. The values of the API key and the signature are hidden.
    :param body: the bytes that arrived. If the body contains a ``callbackSecret``, it is re-encoded without the secret.
    :param json: the parsed body; None if the request has no body or the body is not JSON.
    :param status: HTTP status of the answer; None until the answer is sent.
    :param received_at: time of arrival in Unix seconds, by this machine's clock rather than the emulator's.
    :param monotonic: time of arrival by the monotonic clock, to measure the time between requests.
    :param module: of the submission, or of the execution whose record, stream or callback is requested; else None.
    :param http_version: ``1.1`` or ``2`` (a client of HTTP/1.0: ``1.0``).
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
    module: str | None = None
    http_version: str = "1.1"

    def matches(
        self,
        method: str | None = None,
        path: str | re.Pattern[str] | None = None,
        kind: Kind | None = None,
        module: str | None = None,
    ) -> bool:
        """Return whether the HTTP request has this method, path, kind of endpoint and module; None matches every one.

        :param path: a glob (``*`` also matches slashes), or a compiled regular expression for the whole path.
        """
        if path is None:
            path_matches = True
        elif isinstance(path, str):
            path_matches = fnmatchcase(self.path, path)
        else:
            path_matches = path.fullmatch(self.path) is not None
        return (
            path_matches
            and method in (None, self.method)
            and kind in (None, self.kind)
            and module in (None, self.module)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the received request as a JSON object."""
        return {
            "method": self.method,
            "path": self.path,
            "kind": self.kind,
            "module": self.module,
            "headers": dict(self.headers),
            "body": self.body.decode(errors="replace"),
            "status": self.status,
            "receivedAt": self.received_at,
            "httpVersion": self.http_version,
        }


class Journal:
    """All requests that the emulator received since its last reset, in order of arrival."""

    def __init__(self) -> None:
        self.changes = Changes()
        self._entries: dict[int, Entry] = {}
        self._count = 0

    @property
    def entries(self) -> list[Entry]:
        """A list of all received requests, in order of arrival."""
        return list(self._entries.values())

    def add_request(
        self,
        method: str,
        path: str,
        kind: str | None,
        headers: Mapping[str, str],
        body: bytes,
        module: str | None,
        http_version: str,
    ) -> int:
        """Record a received HTTP request, and return the number of the request.

        :param module: of the execution that the path names; a submission's own is read from its body.
        """
        shown_headers = {name: HIDDEN if name in _SECRET_HEADERS else value for name, value in headers.items()}
        shown_body, parsed_body = _without_secret(body)
        if kind == "submit" and isinstance(parsed_body, dict) and isinstance(parsed_body.get("module"), str):
            module = parsed_body["module"]
        self._count += 1
        self._entries[self._count] = Entry(
            method, path, kind, shown_headers, shown_body, parsed_body, module=module, http_version=http_version
        )
        self.changes.notify()
        return self._count

    def entry(self, number: int) -> Entry:
        """Return the received request with a number that `add_request` has returned."""
        return self._entries[number]

    def set_status(self, number: int, status: int) -> None:
        """Store the HTTP status of the response to a request. Nothing happens if `clear` has removed the request."""
        if number in self._entries:
            self._entries[number] = replace(self._entries[number], status=status)
            self.changes.notify()

    def clear(self) -> None:
        """Remove all received requests."""
        self._entries.clear()


def check_choice(method: object, path: object, kind: object, where: object = None) -> None:
    """Check a description of requests, because one that no request can match would hide an error of a test.

    :raises ValueError: if the kind does not exist, or method or path can't be those of a request.
    :raises TypeError: if `where` is no function, or `path` neither text nor a compiled regular expression.
    """
    if kind not in (None, *get_args(Kind)):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, not {kind!r:.80}")
    if method is not None and not (isinstance(method, str) and method.isalpha() and method.isupper()):
        raise ValueError(f"method must be an HTTP method in upper case, such as POST, not {method!r:.80}")
    if not isinstance(path, str | re.Pattern | None):
        raise TypeError(f"path must be text or a compiled regular expression, not {path!r:.80}")
    if isinstance(path, str) and not path.startswith(("/", "*", "?", "[")):
        raise ValueError(f"path must be a glob for a whole path, which starts with / or *, not {path!r:.80}")
    if where is not None and not callable(where):
        raise TypeError(f"where must be a function that takes a received request, not {where!r:.80}")


def _without_secret(body: bytes) -> tuple[bytes, Any]:
    """Return the body of a request without its ``callbackSecret``, and the parsed body."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return (HIDDEN.encode() if b"callbackSecret" in body else body), None
    if isinstance(parsed, dict) and "callbackSecret" in parsed:
        parsed["callbackSecret"] = HIDDEN
        body = encode(parsed)
    return body, parsed
