"""The aiohttp session that all clients of an event loop share, and the bound on what they send at once."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from weakref import WeakKeyDictionary

import aiohttp

from airflow_provider_whiterabbit.client.settings import ClientSettings

AT_ONCE = 64
"""Requests of one process that may be without their answer at the same time; a stream counts until it is open."""


class _Shared:
    """What all clients of an event loop share that trust the same certificates; the last one closes it."""

    def __init__(self, trust_store: str) -> None:
        # A task, so that whoever asks while the certificates are being read waits for the same session.
        self.session = asyncio.ensure_future(_new_session(trust_store))
        self.turns = asyncio.Semaphore(AT_ONCE)
        self.users = 0


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _Shared]] = WeakKeyDictionary()


@contextlib.asynccontextmanager
async def shared_session(settings: ClientSettings) -> AsyncIterator[tuple[aiohttp.ClientSession, asyncio.Semaphore]]:
    """Open the session, or join those who have it; yield it and the turns to be taken for each request."""
    key = (settings.base_url, settings.trust_store)
    sessions = _shared.setdefault(asyncio.get_running_loop(), {})
    shared = sessions.get(key)
    if shared is None:
        shared = sessions[key] = _Shared(settings.trust_store)
    shared.users += 1
    try:
        yield await asyncio.shield(shared.session), shared.turns
    finally:
        shared.users -= 1
        if not shared.users:
            del sessions[key]
            await _close(shared)


async def _close(shared: _Shared) -> None:
    with contextlib.suppress(Exception):  # whoever waited for it has been told already
        session = await shared.session
        await session.close()


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
