"""I/O with aiohttp for the asynchronous client: HTTP responses. `aio_stream` has the event streams."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Protocol

import aiohttp

from airflow_provider_whiterabbit.client.transport.bodies import BodyDecoder
from airflow_provider_whiterabbit.client.transport.compression import PIECE_BYTES
from airflow_provider_whiterabbit.client.transport.exchange import ClientBase, lower_case
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.outgoing import Outgoing
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.wire.json_skim import Skimmer
from airflow_provider_whiterabbit.client.wire.messages import Request, Response

PEEK_BYTES = 256 * 1024
"""Bytes of an HTTP response after which it is no longer kept if a few members of its JSON are enough."""

LOST = "the connection was lost within the answer"
"""What is told of an answer whose connection ended before it."""


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
            body.set_exception(UnusableAnswerError(LOST))

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


async def _next_chunk(answer: Answer) -> bytes:
    """Return the next bytes of a response's body as they were sent; an empty bytes object at the body's end."""
    try:
        return await answer.content.readany()
    except RuntimeError:  # of aiohttp, if it is closing the connection
        raise UnusableAnswerError(LOST) from None


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
