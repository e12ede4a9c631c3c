"""The event streams of the asynchronous client.

Thousands of waits read nothing but keep-alives for hours. Over HTTP/2, a keep-alive is taken where it arrives, and the
coroutine that reads the stream sleeps on. Over HTTP/1.1 it wakes: what arrives is aiohttp's until it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp

from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.transport.aio_io import LOST, Answer
from airflow_provider_whiterabbit.client.transport.compression import STREAM_PIECE_BYTES, Decompressor
from airflow_provider_whiterabbit.client.transport.exchange import lower_case
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError, root_cause_text
from airflow_provider_whiterabbit.client.transport.http2.stream import Stream
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError


class EventStream:
    """An open event stream (Server-Sent Events) of an execution or workflow run.

    :param max_event_bytes: largest event that is parsed, in bytes.
    :param entry: is told of the bytes and of the end of the stream.
    :param hiding: hides secrets in the library's text about the end of the stream.
    :raises UnusableAnswerError: if the stream has an unknown content encoding.
    """

    __slots__ = (
        "_answer", "_decoder", "_decompressor", "_entry", "_heard_at", "_hiding", "_looking", "_pieces", "_quiet_until",
        "owner",
    )  # fmt: skip

    def __init__(self, answer: Answer, max_event_bytes: int, entry: RequestLog, hiding: Hiding) -> None:
        self._answer = answer
        self._decoder = EventDecoder(max_event_bytes)
        self._decompressor = Decompressor(lower_case(answer.headers).get("content-encoding", ""), STREAM_PIECE_BYTES)
        self._pieces: Iterator[bytes] | None = None
        self._entry = entry
        self._hiding = hiding
        self._heard_at = self._quiet_until = 0.0  # by the clock of the event loop, for the current `read`
        self._looking: asyncio.TimerHandle | None = None
        self.owner: Any = None
        """The `OpenStreams` that the stream belongs to. Weak references would take more memory than the stream."""
        if isinstance(answer, Stream) and self._decompressor.is_plain:
            answer.reader = self

    async def read(self, silence: float, within: float, quiet: float) -> list[Any] | None:
        """Return the JSON data of the stream's next events; None at the stream's end. For parameters, see `Read`.

        :raises WhiteRabbitStreamError: if the stream is silent, or sends something that is not an event.
        :raises WhiteRabbitTransportError: if it breaks.
        """
        clock = asyncio.get_running_loop().time
        self._heard_at = begun = clock()
        self._quiet_until, limit = begun + quiet, begun + within
        while True:
            timer = asyncio.timeout(None)
            try:
                async with timer:
                    self._look(timer, silence, limit)
                    while piece := await self._next_piece():
                        self._heard_at = clock()
                        if (events := self._decoder.feed(piece)) or self._heard_at >= self._quiet_until:
                            return events
                return None
            except UnusableAnswerError as error:
                raise WhiteRabbitTransportError(f"the stream broke: {error}") from None
            except (aiohttp.ClientError, OSError) as error:  # a TimeoutError too, the timer's or the connection's
                if not timer.expired():
                    cause = root_cause_text(error, self._hiding)
                    raise WhiteRabbitTransportError(f"the stream broke: {cause}") from None
            finally:
                self._look_no_more()
            if clock() >= limit:
                return []
            if clock() >= self._heard_at + silence:
                raise WhiteRabbitStreamError(f"the stream was silent for {silence:g} s")

    @property
    def is_closed(self) -> bool:
        """Whether the event stream's connection is closed."""
        return self._answer.closed

    @property
    def shares_connection(self) -> bool:
        """Whether other streams use the event stream's connection too, which is one of HTTP/2."""
        return not isinstance(self._answer, aiohttp.ClientResponse)

    def close(self) -> None:
        """Close the event stream's connection."""
        self._entry.stream_closed()
        self._answer.close()
        if self.owner is not None:
            self.owner.forget(self)

    def skips(self, data: bytes, now: float) -> bool:
        """Take bytes for which `read` waits if they are a keep-alive that it would skip; return whether they are.

        :param now: when they arrived, by the clock of the event loop.
        """
        if now >= self._quiet_until or not self._decoder.skips(data):
            return False
        self._heard_at = now
        self._entry.received += len(data)
        return True

    def _look(self, timer: asyncio.Timeout, silence: float, limit: float) -> None:
        """Let the timer of `read` expire if it is time, or else look again when it may be.

        To move the timer with each keep-alive, or to wake `read` here, would cost more than all the rest.
        """
        loop = asyncio.get_running_loop()
        due = min(self._heard_at + silence, limit)
        if loop.time() < due:
            self._looking = loop.call_at(due, self._look, timer, silence, limit)
        else:
            self._looking = None
            timer.reschedule(due)

    def _look_no_more(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _next_piece(self) -> bytes:
        """Return the next plain bytes of the stream; an empty bytes object at its end."""
        while True:
            if self._pieces is not None:
                await asyncio.sleep(0)  # one chunk may hold thousands of events: the other waits get their turn
                if piece := next(self._pieces, None):
                    return piece
                self._pieces = None
            try:
                chunk = await self._answer.content.readany()
            except RuntimeError:  # of aiohttp, if it is closing the connection
                raise UnusableAnswerError(LOST) from None
            if not chunk:
                return b""
            before = self._entry.received
            self._entry.received += len(chunk)
            # One turn of the loop for so many bytes is enough: a turn for each keep-alive costs a quarter more CPU.
            is_due = before // STREAM_PIECE_BYTES < self._entry.received // STREAM_PIECE_BYTES
            if not is_due and self._decompressor.is_plain:
                return chunk
            self._pieces = self._decompressor.feed(chunk)
