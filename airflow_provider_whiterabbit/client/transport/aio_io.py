"""The aiohttp session that all clients of an event loop share, and the bound on what they send at once."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp

from airflow_provider_whiterabbit.client.transport import exchange as base
from airflow_provider_whiterabbit.client.transport.settings import ClientSettings
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError

AT_ONCE = 64
"""Requests of one process that may be without their answer at the same time; a stream counts until it is open."""


class SharedSession:
    """What all clients of an event loop share that trust the same certificates; the last one closes it.

    However many they are, they have no more than `AT_ONCE` requests on their way together: after an outage White Rabbit
    is met by a queue, not by a herd.

    :param key: base URL, and file or folder of CA certificates.
    """

    def __init__(self, key: tuple[str, str]) -> None:
        self.key = key
        _, trust_store = key
        # A task, so that whoever asks while the certificates are being read waits for the same session.
        self._opening = asyncio.create_task(_new_session(trust_store))
        self.turns = asyncio.Semaphore(AT_ONCE)
        self.users = 0

    async def opened(self) -> aiohttp.ClientSession:
        """Return the session as soon as it is open."""
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Close it, whatever became of its opening."""
        with contextlib.suppress(Exception):  # whoever waited for it has been told already
            session = await self._opening
            await session.close()


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], SharedSession]] = WeakKeyDictionary()


def join(settings: ClientSettings) -> SharedSession:
    """Return the session of this event loop for these settings; whoever joins it leaves it."""
    sessions = _shared.setdefault(asyncio.get_running_loop(), {})
    key = (settings.base_url, settings.trust_store)
    if key not in sessions:
        sessions[key] = SharedSession(key)
    sessions[key].users += 1
    return sessions[key]


async def leave(shared: SharedSession) -> None:
    """Use it no more; the last user closes it."""
    shared.users -= 1
    if not shared.users:
        del _shared[asyncio.get_running_loop()][shared.key]
        await shared.close()


async def _new_session(trust_store: str) -> aiohttp.ClientSession:
    context = await asyncio.to_thread(_tls_context, trust_store)  # some 20 ms of parsing
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=0),  # with a limit, the stream after the last one hangs
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _tls_context(trust_store: str) -> ssl.SSLContext:
    if Path(trust_store).is_dir():
        return ssl.create_default_context(capath=trust_store)
    return ssl.create_default_context(cafile=trust_store)


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
