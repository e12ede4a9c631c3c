"""Decodes the bytes of a stream of Server-Sent Events into events (WHATWG HTML, section 9.2).

The bytes may arrive split anywhere. sseclient-py parses each event, but it takes half an event at the end of its input
for a whole one. So complete events are cut out at their blank line first.
"""

from __future__ import annotations

import json
import re
from typing import Any

import sseclient

from airflow_provider_whiterabbit.client.wire.json_in import integer
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError

MAX_EVENT_BYTES = 1024 * 1024
"""Largest stream event that is parsed, in bytes. After a larger event, the client reads the execution's record."""

_BOM = b"\xef\xbb\xbf"
_PING = re.compile(rb":[^\r\n]*\n\n")


class EventDecoder:
    """Decodes the bytes of an event stream into the JSON data of the stream's events, however the bytes are split.

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

    def feed(self, chunk: bytes) -> list[Any]:
        """Take the next bytes of the stream, and return the JSON data of the events that the bytes complete, in order.

        :raises WhiteRabbitStreamError: if an event is not UTF-8, not JSON, or larger than the bound.
        """
        if not self._buffer and _PING.fullmatch(chunk):  # thousands of times an hour: the fast path
            self._after_cr = self._at_start = False
            return []
        self._append(chunk)
        events = []
        while (end := self._buffer.find(b"\n\n", self._searched)) >= 0:
            frame = bytes(self._buffer[: end + 2])
            del self._buffer[: end + 2]
            self._searched = 0
            if len(frame) > self._max_bytes:
                break
            events += _parse(frame)
        else:
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
            self._buffer += chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._at_start and (len(self._buffer) >= len(_BOM) or not _BOM.startswith(self._buffer)):
            self._at_start = False
            if self._buffer.startswith(_BOM):
                del self._buffer[: len(_BOM)]
                self._searched = 0


def _parse(frame: bytes) -> list[Any]:
    try:
        found = [event.data for event in sseclient.SSEClient(iter((frame,))).events()]
    except UnicodeDecodeError:
        raise WhiteRabbitStreamError("an event is not UTF-8") from None
    return [_json(data) for data in found if data.strip() and not data.lstrip().startswith(":")]


def _json(data: str) -> Any:
    try:
        return json.loads(data, parse_int=integer)
    except (ValueError, RecursionError):
        raise WhiteRabbitStreamError("an event is not JSON") from None
