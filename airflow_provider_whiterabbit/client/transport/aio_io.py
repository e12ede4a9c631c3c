"""I/O with aiohttp for the asynchronous client: event streams and HTTP responses."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from airflow_provider_whiterabbit.client.transport.exchange import ClientBase, lower_case
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError, root_cause_text
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError


@contextlib.asynccontextmanager
async def transport_errors(client: ClientBase, request: Request, seconds: float) -> AsyncIterator[None]:
    """Turn unusable HTTP responses and the errors of aiohttp into `WhiteRabbitTransportError`.

    :param seconds: time limit of the exchange, after which it is raised as well.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except aiohttp.ServerTimeoutError as error:  # a TimeoutError too, but of one silence
        raise client.transport_error(request, error) from None
    except TimeoutError:
        raise client.transport_error(request, UnusableAnswerError(f"no answer within {seconds:g} s")) from None
    except (UnusableAnswerError, aiohttp.ClientError, OSError, ValueError) as error:
        raise client.transport_error(request, error) from None


class EventStream:
    """An open event stream (Server-Sent Events) of an execution or workflow run."""

    __slots__ = ("__weakref__", "_answer", "_decoder")

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self._decoder = EventDecoder()

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
                    while chunk := await self._answer.content.readany():
                        last_byte_at = clock()
                        if (events := self._decoder.feed(chunk)) or last_byte_at >= begun + quiet:
                            return events
                return None
            except (aiohttp.ClientError, OSError) as error:  # a TimeoutError too, the timer's or the connection's
                if not timer.expired():
                    raise WhiteRabbitTransportError(f"the stream broke: {root_cause_text(error)}") from None
            if clock() >= begun + within:
                return []
            if clock() >= last_byte_at + silence:
                raise WhiteRabbitStreamError(f"the stream was silent for {silence:g} s")

    @property
    def is_closed(self) -> bool:
        """Whether the event stream's connection is closed."""
        return self._answer.closed

    def close(self) -> None:
        """Close the event stream's connection."""
        self._answer.close()


async def read_up_to(answer: aiohttp.ClientResponse, size: int) -> bytes:
    """Read the beginning of an HTTP response's body: somewhat more than `size` bytes, or all of a smaller body."""
    body = bytearray()
    while len(body) <= size and (chunk := await answer.content.readany()):
        body += chunk
    return bytes(body)


async def read_whole(answer: aiohttp.ClientResponse, max_bytes: int, head: bytes = b"") -> Response:
    """Read the rest of an HTTP response's body, and return the whole response.

    :param max_bytes: largest body that is read.
    :param head: what was read of the body before.
    :raises WhiteRabbitTransportError: if the body is too large.
    """
    body = head + await read_up_to(answer, max_bytes - len(head))
    if len(body) > max_bytes:
        raise WhiteRabbitTransportError(
            f"{answer.method} {answer.url.path}: the answer has more than {max_bytes} bytes"
        )
    return Response(answer.status, lower_case(answer.headers), body, time.time())
