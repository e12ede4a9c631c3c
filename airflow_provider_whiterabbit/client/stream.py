"""An event stream over aiohttp, and how long it may be silent."""

from __future__ import annotations

import asyncio

import aiohttp

from airflow_provider_whiterabbit.client import base
from airflow_provider_whiterabbit.exceptions import WhiteRabbitTransportError


class Stream:
    """An open stream. One timer watches over all its reads: a timer for each would cost more than the read itself."""

    __slots__ = ("_answer", "_due", "_loop", "_timer")

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._due = float("inf")  # when the read is to end that is going on
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, seconds: float) -> bytes:
        """Read some bytes.

        :raises TimeoutError: if none arrive in so many seconds; the stream can't be read any more then.
        :raises WhiteRabbitTransportError: if the stream breaks.
        """
        self._due = self._loop.time() + seconds
        if self._timer is None or self._due < self._timer.when():
            self._watch()
        try:
            return await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise WhiteRabbitTransportError(f"the stream broke: {base.root_cause(error)}") from None
        finally:
            self._due = float("inf")

    def _watch(self) -> None:
        self._stop_watching()
        if self._due < float("inf"):
            self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        if self._loop.time() < self._due:
            self._watch()
        else:
            self._answer.content.set_exception(TimeoutError())

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Close it."""
        self._stop_watching()
        self._answer.close()
