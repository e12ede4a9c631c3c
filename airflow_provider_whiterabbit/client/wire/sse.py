"""Decodes the bytes of a stream of Server-Sent Events into events (WHATWG HTML, section 9.2).

The bytes may arrive split anywhere. sseclient-py parses an event, but it takes half an event at the end of its input
for a whole one. So complete events are cut out at their blank line first, and parsed only if they matter: most events
of a long wait are soon followed by another one.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection
from typing import Any

import sseclient

from airflow_provider_whiterabbit.client.wire.json_in import integer, peek
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError

MAX_EVENT_BYTES = 1024 * 1024
"""Largest stream event that is parsed, in bytes. After a larger event, the client reads the execution's record."""

_MANY_LINES = 100
"""An event with more lines is not parsed by sseclient-py, which needs seconds for 1 MB of data on many lines."""

_HEAD_BYTES = 1024
"""How many bytes of an event's data `peek_data` looks at."""

_BOM = b"\xef\xbb\xbf"
_BLANK_LINES = re.compile(rb"\n{3,}")
_PING = re.compile(rb":[^\r\n]*\n\n")
_DATA = re.compile(rb"^data:[^\S\n]*(?=(\S))", re.MULTILINE)


class EventDecoder:
    """Decodes the bytes of an event stream into the stream's events, however the bytes are split.

    Comments, keep-alives (``:ping``, also as data) and events without data are dropped. Half an event at the end of the
    stream is dropped too.

    :param max_bytes: largest event that is accepted.
    """

    __slots__ = ("_after_cr", "_at_start", "_buffer", "_max_bytes", "_searched")

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._after_cr = False
        self._at_start = True

    def skips(self, chunk: bytes) -> bool:
        """Take the next bytes of the stream if they are one whole keep-alive between events; return whether they are.

        Idle streams consist of them, so this is faster than `feed`.
        """
        if self._buffer or not _PING.fullmatch(chunk):
            return False
        self._after_cr = self._at_start = False
        return True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes of the stream, and return the events that the bytes complete, in order, for `event_data`.

        :raises WhiteRabbitStreamError: if an event is larger than the bound.
        """
        if self.skips(chunk):
            return []
        self._append(chunk)
        events = []
        begin = 0
        while (end := self._buffer.find(b"\n\n", max(begin, self._searched))) >= 0:
            event = bytes(self._buffer[begin : end + 2])
            begin = end + 2
            if len(event) > self._max_bytes:
                break
            first = _DATA.search(event)
            if first and first[1] != b":":
                events.append(event)
        else:
            del self._buffer[:begin]
            self._searched = max(0, len(self._buffer) - 1)
            if len(self._buffer) <= self._max_bytes:
                return events
        raise WhiteRabbitStreamError(f"an event is larger than {self._max_bytes} bytes")

    def _append(self, chunk: bytes) -> None:
        """Append bytes to the buffer, with every line end (LF, CR, CRLF) as LF. A CR alone ends a line at once."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            # A flood of blank lines would take a turn of the loop in `feed` for each two of them.
            self._buffer += _BLANK_LINES.sub(b"\n\n", chunk) if b"\n\n\n" in chunk else chunk
        if self._at_start and (len(self._buffer) >= len(_BOM) or not _BOM.startswith(self._buffer)):
            self._at_start = False
            if self._buffer.startswith(_BOM):
                del self._buffer[: len(_BOM)]
                self._searched = 0


def event_data(event: bytes) -> Any:
    """Return the JSON data of an event.

    :raises WhiteRabbitStreamError: if it is not JSON.
    """
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(_data_text(event), parse_int=integer)
    # Not raised within an `except`: the error of `json` would keep the whole text for as long as this one lives.
    raise WhiteRabbitStreamError("an event is not JSON")


def _data_text(event: bytes) -> str:
    # Bytes that are not UTF-8 break no stream (WHATWG HTML, section 9.2.5), and sseclient-py would raise.
    readable = event.decode("utf-8", "replace").encode()
    if readable.count(b"\n") > _MANY_LINES:
        # Lines of data without a colon are omitted: they add white space, if anything.
        lines = [line[5:].removeprefix(b" ") for line in readable.split(b"\n") if line.startswith(b"data:")]
        return b"\n".join(lines).decode()
    [parsed] = sseclient.SSEClient(iter((readable,))).events()
    return str(parsed.data)


def peek_data(event: bytes, names: Collection[str]) -> dict[str, Any] | None:
    """Return the named members of an event's JSON object from its first bytes; None if they are not all there.

    An event of a run with thousands of open stages takes milliseconds to parse whole.
    """
    first = _DATA.search(event)
    return peek(event[first.end() : first.end() + _HEAD_BYTES], names) if first else None
