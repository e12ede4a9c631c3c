"""What all asynchronous clients of an event loop share: the aiohttp session, its turns, its pace and its streams."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import ssl
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.transport.aio_connector import Connector, connector_of
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.descriptors import SCARCE_TURNS, OpenStreams
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.pace import Line, host_of
from airflow_provider_whiterabbit.client.transport.tls import stamp, tls_context
from airflow_provider_whiterabbit.client.transport.tls_buffers import ReadBuffers
from airflow_provider_whiterabbit.client.transport.tls_sessions import Sessions
from airflow_provider_whiterabbit.client.wait.timing import Timing

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.http2.pool import Pool

log = logging.getLogger(__name__)

STREAMS_PER_RECORD = 2
"""How many streams of a session may be opened at once, for each request for a record that may wait for an answer.

A request that waits for longer than `Timing.late_head` gives its turn back, so that records which are never answered do
not keep other waits waiting. So does an opening: a server may send the head of a stream with the first event."""


class Turns:
    """Lets a number of requests wait for a response at the same time. Further requests queue, in order."""

    __slots__ = ("_count", "_free")

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = asyncio.Semaphore(count)

    def taken(self, within: float, longest: float | None = None) -> _Turn:
        """Return what waits for a turn and keeps the turn for an ``async with``.

        :param longest: give the turn back after so many seconds although the request goes on.
        """
        return _Turn(self._free, self._count, within, longest)


class _Turn:
    """A turn of one request. Thousands of waits that start together queue for theirs: each keeps this one object.

    :raises UnusableAnswerError: on entering, if there is no turn within so many seconds.
    """

    __slots__ = ("_count", "_free", "_is_taken", "_longest", "_timer", "_within")

    def __init__(self, free: asyncio.Semaphore, count: int, within: float, longest: float | None) -> None:
        self._free = free
        self._count = count
        self._within = within
        self._longest = longest
        self._timer: asyncio.TimerHandle | None = None
        self._is_taken = False

    async def __aenter__(self) -> float:
        """Wait for the turn; return the seconds that are left of `within`."""
        began = monotonic()
        if not self._free.locked() or self._within == float("inf"):
            await self._free.acquire()
        else:
            try:
                async with asyncio.timeout(self._within):
                    await self._free.acquire()
            except TimeoutError:
                text = f"{self._count} other requests had no answer within {self._within:g} s"
                raise UnusableAnswerError(text) from None
        self._is_taken = True
        if self._longest is not None:
            self._timer = asyncio.get_running_loop().call_later(self._longest, self._give_back)
        return self._within - (monotonic() - began)

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None  # which refers to this object
        if self._is_taken:
            self._is_taken = False
            self._free.release()


class _Key(NamedTuple):
    """What the clients have in common that share a session."""

    base_url: str
    trust_store: str
    client_cert: str | None
    client_key: str | None
    requests_per_second: int
    requests_at_once: int
    http2: bool
    silence: float
    stamp: tuple[int, ...]
    """Of the certificates' files: after one was renewed, new waits get a session with the new one."""

    @classmethod
    def of(cls, settings: ClientSettings, silence: float) -> Self:
        certificate = (settings.client_cert, settings.client_key)
        limits = (settings.requests_per_second, settings.requests_at_once)
        http2 = settings.http2 and urlsplit(settings.base_url).scheme == "https"
        stamped = stamp(settings.trust_store, *certificate)
        return cls(settings.base_url, settings.trust_store, *certificate, *limits, http2, silence, stamped)


class SharedSession:
    """What all clients of an event loop share with the same base URL, certificates and limits: HTTP/1.1 and HTTP/2.

    :param proxy: URL of the proxy, perhaps with a password; None for no proxy.
    """

    def __init__(self, key: _Key, proxy: str | None) -> None:
        self.key = key
        self.http2: Pool | None = None
        """The connections for HTTP/2; None without the library h2, without TLS, or if the connection forbids it."""
        self.proxy = proxy
        self.stream_turns = Turns(STREAMS_PER_RECORD * key.requests_at_once)
        self.streams = OpenStreams()
        self.users = 0
        self._line = Line(host_of(key.base_url, key.requests_per_second))
        self._read_buffers = ReadBuffers()
        self._record_turns = Turns(key.requests_at_once)
        self.submission_turns = Turns(key.requests_at_once)
        self._scarce_turns = Turns(min(SCARCE_TURNS, key.requests_at_once))
        # A task, so that all clients that join while the certificates are read wait for the same session.
        self._opening = asyncio.create_task(self._open())

    @property
    def record_turns(self) -> Turns:
        """The turns of the requests for records: fewer without file descriptors, so that connections are used again."""
        return self._scarce_turns if self.streams.are_scarce else self._record_turns

    async def opened(self) -> aiohttp.ClientSession:
        """Wait until the aiohttp session is open, and return the session."""
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Close the aiohttp session, if the session could be opened."""
        with contextlib.suppress(Exception):  # the clients that waited for it have got the error
            session = await self._opening
            await session.close()
            if self.http2 is not None:
                await self.http2.close()

    async def isolated(self) -> aiohttp.ClientSession:
        """Return a session with a fresh connection for one request."""
        kept = connector_of(await self.opened())
        return aiohttp.ClientSession(connector=kept.fresh(), cookie_jar=aiohttp.DummyCookieJar())

    async def _open(self) -> aiohttp.ClientSession:
        context = await self._new_context()
        if self.key.http2:
            self.http2 = await self._pool()
        return aiohttp.ClientSession(
            connector=Connector(self._line, self.streams, self._read_buffers, context, Sessions(context)),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def _new_context(self) -> ssl.SSLContext:
        key = self.key
        return await asyncio.to_thread(tls_context, key.trust_store, key.client_cert, key.client_key)

    async def _pool(self) -> Pool | None:
        """Return the connections for HTTP/2; None if the library h2, which is an extra, is not installed."""
        key, url = self.key, urlsplit(self.key.base_url)
        try:
            # h2 takes some 50 ms to import.
            pool = await asyncio.to_thread(importlib.import_module, f"{__package__}.http2.pool")
        except ImportError:
            log.debug("HTTP/2 is not used, because the package h2 is not installed")
            return None
        offering = await self._new_context()
        offering.set_alpn_protocols(["h2", "http/1.1"])
        # Not that of the aiohttp session, which resumes TLS sessions and has to notice where that does not work.
        to_proxy = await self._new_context() if (self.proxy or "").lower().startswith("https:") else None
        route = pool.Route(url.hostname, url.port or 443, offering, self._read_buffers, self.proxy, to_proxy)
        made: Pool = pool.Pool(route, url, self._line, self.streams, key.silence)
        return made


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, SharedSession]] = WeakKeyDictionary()


def join(settings: ClientSettings, silence: float = Timing().silence) -> SharedSession:
    """Return the event loop's shared session for a client's settings. Each call of `join` needs a call of `leave`.

    :param silence: seconds within which an HTTP/2 connection that went silent is found dead.
    :raises WhiteRabbitConfigError: if the environment names a proxy that can't be used.
    """
    sessions = _shared.setdefault(asyncio.get_running_loop(), {})
    key = _Key.of(settings, silence)
    if key not in sessions:
        sessions[key] = SharedSession(key, settings.proxy)
    sessions[key].users += 1
    return sessions[key]


async def leave(shared: SharedSession) -> None:
    """Stop using a shared session. The last client that stops using a session closes the session."""
    shared.users -= 1
    if not shared.users:
        del _shared[asyncio.get_running_loop()][shared.key]
        await shared.close()
