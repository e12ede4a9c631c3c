"""The event stream of a wait in the asynchronous client, which can be opened while the wait does something else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from airflow_provider_whiterabbit.client.transport.aio_stream import EventStream
from airflow_provider_whiterabbit.client.wire.messages import Request


class StreamOfWait:
    """The one event stream of a wait: closed, being opened, or open. For the commands `Open`, `Read` and `Close`.

    A task opens the stream, because some servers send the head of a stream's response with its first event or ping.

    :param open_stream: opens a stream within so many seconds.
    """

    __slots__ = ("_open_stream", "_opening", "_stream")

    def __init__(self, open_stream: Callable[[Request, float], Coroutine[Any, Any, EventStream]]) -> None:
        self._open_stream = open_stream
        self._opening: asyncio.Task[EventStream] | None = None
        self._stream: EventStream | None = None

    async def open(self, request: Request, within: float, patience: float) -> bool:
        """Open the stream, or go on opening it; return whether it is open. For the parameters, see `Open`.

        :raises WhiteRabbitError: if it can't be opened.
        """
        if self._opening is None:
            self._opening = asyncio.create_task(self._open_stream(request, within))
        await asyncio.wait({self._opening}, timeout=None if patience == float("inf") else patience)
        if not self._opening.done():
            return False
        opened, self._opening = self._opening, None
        self._stream = opened.result()
        return True

    def read(self, silence: float, within: float, quiet: float) -> Coroutine[Any, Any, list[Any] | None]:
        """Return the stream's next events; None at its end. For the parameters and errors, see `EventStream.read`."""
        return self._stream.read(silence, within, quiet) if self._stream else _nothing()

    async def close(self) -> None:
        """Close the stream, or stop opening it."""
        stream, self._stream = self._stream, None
        opening, self._opening = self._opening, None
        if stream:
            stream.close()
        if opening:
            opening.add_done_callback(_close_opened)  # it may have been opened in this moment
            opening.cancel()
            await asyncio.wait({opening})


async def _nothing() -> None:
    """Return what the end of a stream is."""


def _close_opened(opening: asyncio.Task[EventStream]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
