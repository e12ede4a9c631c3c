"""I/O with `requests` for the blocking client: sessions, streams, HTTP responses, and a time limit for each read."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any, cast

import requests
import urllib3

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.transport.bodies import BodyDecoder
from airflow_provider_whiterabbit.client.transport.compression import STREAM_PIECE_BYTES, Decompressor
from airflow_provider_whiterabbit.client.transport.exchange import ClientBase, Limits, lower_case
from airflow_provider_whiterabbit.client.transport.failures import TooSlowError, UnusableAnswerError, root_cause_text
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.transport.sync_limits import limited
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError

_CHUNK = 64 * 1024

_HEAD_BYTES = 1024 * 1024
"""How many bytes of an exchange may be something else than its body: heads, trailers, and the sizes of chunks."""

_TRANSPORT_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""The errors of a failed HTTP request; `requests` does not wrap all errors of urllib3, and none during raw reads."""


@contextlib.contextmanager
def transport_errors(client: ClientBase, request: Request, limits: Limits) -> Iterator[None]:
    """Turn unusable HTTP responses and the errors of requests and urllib3 into `WhiteRabbitTransportError`.

    :param limits: time limits of the exchange, after which it is raised as well.
    """
    with limited(limits, client.settings.max_answer_bytes + _HEAD_BYTES) as allowance:
        try:
            yield
        except (UnusableAnswerError, *_TRANSPORT_ERRORS) as error:
            failure = client.transport_error(request, error)
            failure.sent = request.idempotent or allowance.connected  # another request has a fresh connection
            raise failure from None


class EventStream:
    """An open event stream (Server-Sent Events) of an execution or workflow run.

    :param max_event_bytes: largest event that is parsed, in bytes.
    :param entry: is told of the bytes and of the end of the stream.
    :param hiding: hides secrets in the library's text about the end of the stream.
    :raises UnusableAnswerError: if the stream has an unknown content encoding.
    """

    def __init__(self, answer: requests.Response, max_event_bytes: int, entry: RequestLog, hiding: Hiding) -> None:
        self._answer = answer
        self._decoder = EventDecoder(max_event_bytes)
        self._decompressor = Decompressor(answer.headers.get("content-encoding", ""), STREAM_PIECE_BYTES)
        self._pieces: Iterator[bytes] = iter(())
        self._entry = entry
        self._hiding = hiding
        self._process = os.getpid()

    def read(self, silence: float, within: float, quiet: float) -> list[Any] | None:
        """Return the JSON data of the stream's next events; None at the stream's end. For parameters, see `Read`.

        :raises WhiteRabbitStreamError: if the stream is silent, or sends something that is not an event.
        :raises WhiteRabbitTransportError: if it breaks.
        """
        if os.getpid() != self._process:
            raise WhiteRabbitStreamError("the stream belongs to the process that has opened it")
        begun = monotonic()
        while (left := begun + within - monotonic()) > 0:
            try:
                piece = self._next_piece(Limits(connect=left, read=silence, total=min(silence, left)))
            except TooSlowError:
                if left > silence:
                    raise WhiteRabbitStreamError(f"the stream was silent for {silence:g} s") from None
                break
            except UnusableAnswerError as error:
                raise WhiteRabbitTransportError(f"the stream broke: {error}") from None
            except _TRANSPORT_ERRORS as error:
                raise WhiteRabbitTransportError(f"the stream broke: {root_cause_text(error, self._hiding)}") from None
            if not piece:
                return None
            if (events := self._decoder.feed(piece)) or monotonic() >= begun + quiet:
                return events
        return []

    def close(self) -> None:
        """Close the connection."""
        self._entry.stream_closed()
        self._answer.close()

    def _next_piece(self, limits: Limits) -> bytes:
        """Return the next plain bytes of the stream; an empty bytes object at its end."""
        while (piece := next(self._pieces, None)) is None:
            with limited(limits):
                chunk = _read_chunk(self._answer)
            if not chunk:
                return b""
            self._entry.received += len(chunk)
            self._pieces = self._decompressor.feed(chunk)
        return piece


def read_whole(answer: requests.Response, max_bytes: int, entry: RequestLog) -> Response:
    """Read the body of an HTTP response, and return the whole response; of an error, the first bytes are enough.

    :param max_bytes: largest body that is read.
    :param entry: is told of the response's head and of its bytes.
    :raises UnusableAnswerError: if the body is too slow or too large, or was compressed wrongly.
    """
    headers = lower_case(answer.headers)
    entry.answered(answer.status_code, headers)
    decoder, body = BodyDecoder(answer.status_code, headers, max_bytes), bytearray()
    try:
        while not decoder.is_cut and (chunk := _read_chunk(answer)):
            entry.received += len(chunk)
            for piece in decoder.feed(chunk):
                body += piece
        decoder.finish()
        return Response(answer.status_code, headers, bytes(body), time.time())
    finally:
        body.clear()  # `contextlib` can tie an exception's frames into a cycle, and would keep a large body for long


def _read_chunk(answer: requests.Response) -> bytes:
    """Return the next bytes of a response's body as they were sent; an empty bytes object at the body's end."""
    return cast(bytes, answer.raw.read1(_CHUNK, decode_content=False))
