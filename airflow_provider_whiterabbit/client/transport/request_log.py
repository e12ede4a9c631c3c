"""One debug line for each request, for questions to White Rabbit's support: never a header's or a body's content."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.wire import answers
from airflow_provider_whiterabbit.client.wire.messages import Request

log = logging.getLogger(__name__)


class RequestLog:
    """Writes the line about one request at the end of a ``with``; about a stream, one when it opens and one at its end.

    :param attempt: how many times the request has been sent in a row, from 1.
    """

    __slots__ = ("_attempt", "_begun", "_is_stream", "_place", "_request_id", "_status", "received")

    def __init__(self, request: Request, attempt: int) -> None:
        self._place = f"{request.method} {request.path}"
        self._attempt = attempt
        self._begun = monotonic()
        self._status: int | None = None
        self._request_id: str | None = None
        self._is_stream = False
        self.received = 0
        """Bytes of the response's body, as they were sent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if self._is_stream and error is None:
            return
        what = "no answer" if self._status is None else str(self._status)
        what += f" in {1000 * (monotonic() - self._begun):.0f} ms, {self.received} bytes"
        self._write(what if error is None else f"{what}, {type(error).__name__}")

    def begin(self) -> None:
        """Count the request's time from now: it is sent now, after it has queued."""
        self._begun = monotonic()

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head of the response; the names of its headers are in lower case."""
        self._status = status
        self._request_id = answers.request_id(headers)

    def stream_opened(self, headers: Mapping[str, str]) -> None:
        """Write that the stream is open; the names of its headers are in lower case."""
        self._is_stream = True
        self._request_id = answers.request_id(headers)
        self._write(f"stream opened in {1000 * (monotonic() - self._begun):.0f} ms")

    def stream_closed(self) -> None:
        """Write that the stream is closed, once."""
        if self._is_stream:
            self._is_stream = False
            self._write(f"stream closed after {monotonic() - self._begun:.1f} s, {self.received} bytes")

    def _write(self, what: str) -> None:
        request_id = f", request id {self._request_id}" if self._request_id else ""
        log.debug("%s: %s (attempt %d%s)", self._place, what, self._attempt, request_id)
