"""I/O with aiohttp for the asynchronous client: event streams and HTTP responses."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any, Protocol

import aiohttp

from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.transport.bodies import BodyDecoder
from airflow_provider_whiterabbit.client.transport.compression import PIECE_BYTES, STREAM_PIECE_BYTES, Decompressor
from airflow_provider_whiterabbit.client.transport.exchange import ClientBase, lower_case
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError, root_cause_text
from airflow_provider_whiterabbit.client.transport.outgoing import Outgoing
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.wire.json_skim import Skimmer
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError

PEEK_BYTES = 256 * 1024
"""Bytes of an HTTP response after which it is no longer kept if a few members of its JSON are enough."""


_LOST = "the connection was lost within the answer"


class Body(Protocol):
    """The part of `aiohttp.StreamReader` that reading needs."""

    async def readany(self) -> bytes:
        """Return the bytes that have arrived, at least one; an empty bytes object at the end."""


class Answer(Protocol):
    """The part of `aiohttp.ClientResponse` that reading needs. An answer over HTTP/2 has it too."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names and values as they were sent."""

    @property
    def content(self) -> Body:
        """What the body is read from."""

    @property
    def closed(self) -> bool:
        """Whether nothing more arrives."""

    def close(self) -> None:
        """Close the connection, or what there is of it for this answer."""

    def release(self) -> Any:
        """Let the connection be used again, if the answer was read to its end."""


@contextlib.asynccontextmanager
async def transport_errors(client: ClientBase, request: Request, outgoing: Outgoing) -> AsyncIterator[None]:
    """Turn unusable HTTP responses and the errors of aiohttp into `WhiteRabbitTransportError`.

    :param outgoing: the request, after whose time limit it is raised as well.
    """
    seconds = outgoing.seconds
    try:
        async with outgoing.timer:
            yield
    except aiohttp.ConnectionTimeoutError:
        limit = min(client.settings.request_timeout, seconds)
        raise client.transport_error(request, UnusableAnswerError(f"no connection within {limit:g} s")) from None
    except aiohttp.ServerTimeoutError as error:  # a TimeoutError too, but of one silence
        raise client.transport_error(request, error) from None
    except TimeoutError:
        sent = outgoing.is_admitted
        what = f"no answer within {seconds:g} s" if sent else f"not sent within {outgoing.limits.within:g} s"
        raise client.transport_error(request, UnusableAnswerError(what)) from None
    except (UnusableAnswerError, aiohttp.ClientError, OSError, ValueError) as error:
        raise client.transport_error(request, error) from None


def end_with_connection(answer: aiohttp.ClientResponse) -> None:
    """Let a read of a response's body fail as soon as the response's connection is lost.

    If aiohttp can't parse a part of a body, it closes the connection, but does not tell a reader that waits for more.
    aiohttp 3.11 does not tell either when a connection is closed; the reader then stops at its time limit.
    """
    connection, body = answer.connection, answer.content
    if connection is None or connection.protocol is None:
        return  # the body is here
    if not hasattr(connection.protocol, "closed"):
        return

    def end(_: object = None) -> None:
        if not body.is_eof() and body.exception() is None:
            body.set_exception(UnusableAnswerError(_LOST))

    def forget() -> None:
        if closed is not None:
            closed.remove_done_callback(end)

    if (closed := connection.protocol.closed) is None:
        end()
    else:
        closed.add_done_callback(end)
        connection.add_callback(forget)  # the connection may be kept for other answers
        closed.remove_done_callback(_take_note)  # of an earlier answer
        closed.add_done_callback(_take_note)


def _take_note(closed: asyncio.Future[None]) -> None:
    """Look at how a connection was closed. Otherwise asyncio logs an error about a connection that was reset."""
    if not closed.cancelled():
        closed.exception()


class EventStream:
    """An open event stream (Server-Sent Events) of an execution or workflow run.

    :param max_event_bytes: largest event that is parsed, in bytes.
    :param entry: is told of the bytes and of the end of the stream.
    :param hiding: hides secrets in the library's text about the end of the stream.
    :raises UnusableAnswerError: if the stream has an unknown content encoding.
    """

    __slots__ = ("_answer", "_decoder", "_decompressor", "_entry", "_hiding", "_pieces", "owner")

    def __init__(self, answer: Answer, max_event_bytes: int, entry: RequestLog, hiding: Hiding) -> None:
        self._answer = answer
        self._decoder = EventDecoder(max_event_bytes)
        self._decompressor = Decompressor(lower_case(answer.headers).get("content-encoding", ""), STREAM_PIECE_BYTES)
        self._pieces: Iterator[bytes] | None = None
        self._entry = entry
        self._hiding = hiding
        self.owner: Any = None
        """The `OpenStreams` that the stream belongs to. Weak references would take more memory than the stream."""

    async def read(self, silence: float, within: float, quiet: float) -> list[Any] | None:
        """Return the JSON data of the stream's next events; None at the stream's end. For parameters, see `Read`.

        :raises WhiteRabbitStreamError: if the stream is silent, or sends something that is not an event.
        :raises WhiteRabbitTransportError: if it breaks.
        """
        clock = asyncio.get_running_loop().time
        begun = last_byte_at = clock()
        while True:
            # One timer for all bytes until it is due: a timer for each keep-alive would cost more than all the rest.
            timer = asyncio.timeout_at(min(last_byte_at + silence, begun + within))
            try:
                async with timer:
                    while piece := await self._next_piece():
                        last_byte_at = clock()
                        if (events := self._decoder.feed(piece)) or last_byte_at >= begun + quiet:
                            return events
                return None
            except UnusableAnswerError as error:
                raise WhiteRabbitTransportError(f"the stream broke: {error}") from None
            except (aiohttp.ClientError, OSError) as error:  # a TimeoutError too, the timer's or the connection's
                if not timer.expired():
                    cause = root_cause_text(error, self._hiding)
                    raise WhiteRabbitTransportError(f"the stream broke: {cause}") from None
            if clock() >= begun + within:
                return []
            if clock() >= last_byte_at + silence:
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
                raise UnusableAnswerError(_LOST) from None
            if not chunk:
                return b""
            before = self._entry.received
            self._entry.received += len(chunk)
            # One turn of the loop for so many bytes is enough: a turn for each keep-alive costs a quarter more CPU.
            is_due = before // STREAM_PIECE_BYTES < self._entry.received // STREAM_PIECE_BYTES
            if not is_due and self._decompressor.is_plain:
                return chunk
            self._pieces = self._decompressor.feed(chunk)


async def _next_chunk(answer: Answer) -> bytes:
    """Return the next bytes of a response's body as they were sent; an empty bytes object at the body's end."""
    try:
        return await answer.content.readany()
    except RuntimeError:  # of aiohttp, if it is closing the connection
        raise UnusableAnswerError(_LOST) from None


async def read_whole(answer: Answer, max_bytes: int, entry: RequestLog, wanted: tuple[str, ...] = ()) -> Response:
    """Read the body of an HTTP response, and return the whole response; of an error, the first bytes are enough.

    :param max_bytes: largest body that is read.
    :param entry: is told of the response's head and of its bytes.
    :param wanted: the only members that are needed of a JSON object; empty for all. A large object is reduced to these,
        or to its top level if some of them are missing.
    :raises UnusableAnswerError: if the body is too large, or was compressed wrongly.
    :raises ValueError: if a large body is not a JSON object although some of its members are wanted.
    """
    headers = lower_case(answer.headers)
    entry.answered(answer.status, headers)
    body = bytearray()
    async with contextlib.aclosing(_pieces_of(answer, BodyDecoder(answer.status, headers, max_bytes), entry)) as pieces:
        async for piece in pieces:
            body += piece
            if wanted and answer.status == 200 and len(body) > PEEK_BYTES:
                return Response(answer.status, headers, await _skimmed(body, pieces, wanted), time.time())
    return Response(answer.status, headers, bytes(body), time.time())


async def _skimmed(head: bytearray, pieces: AsyncIterator[bytes], wanted: tuple[str, ...]) -> bytes:
    """Return the JSON of the wanted members of an object, whose beginning is `head` and whose rest is in `pieces`."""
    skimmer = Skimmer(wanted)
    for begin in range(0, len(head), PIECE_BYTES):
        skimmer.feed(bytes(head[begin : begin + PIECE_BYTES]))
        await asyncio.sleep(0)
    while not skimmer.is_complete and (piece := await anext(pieces, None)):
        skimmer.feed(piece)
    return skimmer.result()


async def _pieces_of(answer: Answer, decoder: BodyDecoder, entry: RequestLog) -> AsyncGenerator[bytes, None]:
    """Yield the plain pieces of a response's body, and let the other waits take their turn after each."""
    while not decoder.is_cut and (chunk := await _next_chunk(answer)):
        entry.received += len(chunk)
        for piece in decoder.feed(chunk):
            yield piece
            await asyncio.sleep(0)
    decoder.finish()
