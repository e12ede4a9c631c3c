"""Resumes TLS sessions: a server that drops thousands of event streams is not asked for as many full handshakes.

A resumed handshake needs no certificates and no signature, which are most of a handshake's work on both sides. Neither
asyncio nor urllib3 resumes sessions. `ssl.SSLContext.sslobject_class` and `sslsocket_class` are the documented ways to
change the TLS of one context only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, cast

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.transport.failures import TooSlowError

LONGEST_TRUST = 3600.0
"""Seconds for which sessions are resumed after a full handshake, which alone checks the server's certificate."""

_KEPT_FOR = 60.0
"""Seconds after which a session is replaced by that of a connection that resumed it: some servers take a session for
few minutes only."""

_LONGEST_EXPONENT = 6
"""After so many failures in a row, 4 to this power is longer than `LONGEST_TRUST`."""

_offers: ContextVar[list[Sessions]] = ContextVar("whiterabbit_tls_offers")
"""Where the sessions are from that the connection that is being established has offered, to a proxy and to the server.
asyncio's callbacks see the same list as the task that connects."""


class _Kept(NamedTuple):
    session: ssl.SSLSession
    kept_at: float
    checked_at: float
    """When the server's certificate was checked."""

    expires_at: float
    """When the server's certificate expires, in Unix seconds: a resumed handshake does not check it."""


class _Tls(Protocol):
    """What `Sessions` needs of the TLS of a connection."""

    checked_at: float
    session: ssl.SSLSession | None

    @property
    def server_hostname(self) -> str | None: ...

    @property
    def session_reused(self) -> bool | None: ...

    def version(self) -> str | None: ...

    def getpeercert(self) -> Any: ...


class Sessions:
    """The TLS sessions of one context, by the name of the server that the certificate was checked for.

    Threads may share the context.

    A session is used for more than one connection, which RFC 8446 (appendix C.4) discourages, because an observer sees
    that the connections have the same client. The address of the client shows the same.

    :param clock: the seconds of a clock that never jumps.
    """

    __slots__ = ("_clock", "_failures", "_kept", "_paused_until")

    def __init__(self, context: ssl.SSLContext, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._kept: dict[str, _Kept] = {}
        self._paused_until = clock()
        context.sslobject_class = type("ResumingObject", (_Resuming, ssl.SSLObject), {"sessions": self})
        context.sslsocket_class = type("ResumingSocket", (_Resuming, ssl.SSLSocket), {"sessions": self})

    @staticmethod
    @contextlib.contextmanager
    def connecting() -> Iterator[None]:
        """Establish a connection in a ``with``; if it fails after it has offered a session, offer none for a while.

        Some servers break a handshake that resumes a session. A server that stops in this moment looks the same, so the
        pause is 4 s at first, and longer only if no session can be resumed after it.
        """
        offers: list[Sessions] = []
        # It is not reset: the context of each wait would then keep one more copy of all its variables.
        _offers.set(offers)
        try:
            yield
        except (OSError, TooSlowError):
            for sessions in set(offers):
                sessions._pause()
            raise

    def _pause(self) -> None:
        self._kept.clear()
        if (now := self._clock()) >= self._paused_until:  # the failures of one moment count once
            self._failures = min(self._failures + 1, _LONGEST_EXPONENT)
            self._paused_until = now + min(4.0**self._failures, LONGEST_TRUST)

    def offer(self, tls: _Tls) -> None:
        """Resume the session of an earlier connection to the same server in a new connection, if there is one."""
        name, now = tls.server_hostname or "", self._clock()
        kept = self._kept.get(name)
        if kept is None or now < self._paused_until:
            return
        if now - kept.checked_at < LONGEST_TRUST and time.time() < kept.expires_at:
            tls.session = kept.session
            tls.checked_at = kept.checked_at
            _offers.get([]).append(self)

    def keep(self, tls: _Tls) -> None:
        """Keep the session of a connection whose server has sent something, so perhaps a ticket too."""
        name, now = tls.server_hostname, self._clock()
        if not name:
            return
        if tls.session_reused:
            self._failures = 0
        kept = self._kept.get(name)
        if tls.session_reused and kept is not None and now - kept.kept_at < _KEPT_FOR:
            return
        session = tls.session
        if session is not None and (session.has_ticket or tls.version() != "TLSv1.3"):
            expires_at = float(ssl.cert_time_to_seconds(tls.getpeercert()["notAfter"]))
            self._kept[name] = _Kept(session, now, tls.checked_at if tls.session_reused else now, expires_at)

    def read_failed(self, tls: _Tls) -> None:
        """Note that a connection has ended before its server has sent something.

        The client's part of a resumed handshake ends before the server's: a server, or a middlebox, that does not like
        it breaks the connection only now.
        """
        if tls.session_reused:
            self._pause()


class _Resuming:
    """The TLS of one connection, which resumes an earlier session; with TLS 1.3, a ticket follows the handshake."""

    sessions: Sessions
    checked_at = 0.0
    _has_begun = False
    _has_read = False

    def do_handshake(self, *block: bool) -> None:
        """Begin or continue the handshake."""
        if not self._has_begun:
            self._has_begun = True
            self.sessions.offer(cast(_Tls, self))
        super().do_handshake(*block)  # type: ignore[misc]

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 (the name in `ssl`)
        """Read up to so many bytes, as the `read` of `ssl.SSLObject` and `ssl.SSLSocket` does."""
        if self._has_read:
            return super().read(len, buffer)  # type: ignore[misc]
        try:
            read = super().read(len, buffer)  # type: ignore[misc]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, TimeoutError):
            raise  # there is nothing yet
        except OSError:
            self._note_first(is_end=True)
            raise
        self._note_first(is_end=not read)
        return read

    def note_end(self) -> None:
        """Note that the server has ended the connection."""
        if not self._has_read:
            self._note_first(is_end=True)

    def _note_first(self, *, is_end: bool) -> None:
        self._has_read = True
        (self.sessions.read_failed if is_end else self.sessions.keep)(cast(_Tls, self))


def note_end(transport: asyncio.BaseTransport | None) -> None:
    """Note that the server has ended a connection of asyncio, which reads nothing after that."""
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    if isinstance(tls, _Resuming):
        tls.note_end()
