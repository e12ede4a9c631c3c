"""An event stream over aiohttp, and how long it may be silent."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from airflow_provider_whiterabbit.client import base
from airflow_provider_whiterabbit.client.events import EventDecoder
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError


class Stream:
    """An open stream. A keep-alive, of which an hour has thousands, ends in here: it wakes nobody further up."""

    __slots__ = ("_answer", "_decoder")

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self._decoder = EventDecoder()

    async def read(self, silence: float, within: float, quiet: float) -> list[Any] | None:
        """Do what `commands.Read` says.

        :raises WhiteRabbitStreamError: if the stream is silent, or holds something that is not an event.
        :raises WhiteRabbitTransportError: if it breaks.
        """
        clock = asyncio.get_running_loop().time
        begun = heard = clock()
        while True:
            # One timer for all that comes until it is due: one for each keep-alive would cost more than all the rest.
            timer = asyncio.timeout_at(min(heard + silence, begun + within))
            try:
                async with timer:
                    while chunk := await self._answer.content.readany():
                        heard = clock()
                        if (events := self._decoder.feed(chunk)) or heard >= begun + quiet:
                            return events
                return None
            except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is one of these, the connection's as well
                if not timer.expired():
                    raise WhiteRabbitTransportError(f"the stream broke: {base.root_cause(error)}") from None
            if clock() >= begun + within:
                return []
            if clock() >= heard + silence:
                raise WhiteRabbitStreamError(f"silent for {silence:g} s")

    def close(self) -> None:
        """Close it."""
        self._answer.close()
