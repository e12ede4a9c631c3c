"""Resumes TLS sessions: a server that drops thousands of event streams is not asked for as many full handshakes.

A resumed handshake needs no certificates and no signature, which are most of a handshake's work on both sides. asyncio
does not resume sessions. `ssl.SSLContext.sslobject_class` is the documented way to change the TLS of one context only.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

from airflow_provider_whiterabbit.client.clock import monotonic

LONGEST_TRUST = 3600.0
"""Seconds for which sessions are resumed after a full handshake, which alone checks the server's certificate."""

_KEPT_FOR = 60.0
"""Seconds after which a session is replaced by that of a connection that resumed it: some servers take a session for
few minutes only."""

_LONGEST_EXPONENT = 6
"""After so many failures in a row, 4 to this power is longer than `LONGEST_TRUST`."""

_offers: ContextVar[list[str]] = ContextVar("whiterabbit_tls_offers")
"""The servers to which the connection that is being established has offered a session. asyncio's callbacks see the same
list as the task that connects."""


class _Kept(NamedTuple):
    session: ssl.SSLSession
    kept_at: float
    checked_at: float
    """When the server's certificate was checked."""


class Sessions:
    """The TLS sessions of one context, by the name of the server that the certificate was checked for.

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
        context.sslobject_class = type("ResumingObject", (_ResumingObject,), {"sessions": self})

    @contextlib.contextmanager
    def connecting(self) -> Iterator[None]:
        """Establish a connection in a ``with``; if it fails after it has offered a session, offer none for a while.

        Some servers break a handshake that resumes a session. A server that stops in this moment looks the same, so the
        pause is 4 s at first, and longer only if no session can be resumed after it.
        """
        offers: list[str] = []
        # It is not reset: the context of each wait would then keep one more copy of all its variables.
        _offers.set(offers)
        try:
            yield
        except OSError:
            if offers:
                self._pause()
            raise

    def _pause(self) -> None:
        self._kept.clear()
        if (now := self._clock()) >= self._paused_until:  # the failures of one moment count once
            self._failures = min(self._failures + 1, _LONGEST_EXPONENT)
            self._paused_until = now + min(4.0**self._failures, LONGEST_TRUST)

    def offer(self, tls: _ResumingObject) -> None:
        """Resume the session of an earlier connection to the same server in a new connection, if there is one."""
        name, now = tls.server_hostname or "", self._clock()
        kept = self._kept.get(name)
        if kept is not None and now >= self._paused_until and now - kept.checked_at < LONGEST_TRUST:
            tls.session = kept.session
            tls.checked_at = kept.checked_at
            _offers.get([]).append(name)

    def keep(self, tls: _ResumingObject) -> None:
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
            self._kept[name] = _Kept(session, now, tls.checked_at if tls.session_reused else now)


class _ResumingObject(ssl.SSLObject):
    """The TLS of one connection, which resumes an earlier session; with TLS 1.3, a ticket follows the handshake."""

    sessions: Sessions
    checked_at = 0.0
    _has_begun = False
    _has_read = False

    def do_handshake(self) -> None:
        """Begin or continue the handshake."""
        if not self._has_begun:
            self._has_begun = True
            self.sessions.offer(self)
        super().do_handshake()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 (the name in `SSLObject`)
        """Read up to so many bytes, as `ssl.SSLObject.read` does."""
        read = super().read(len, buffer)
        if not self._has_read:
            self._has_read = True
            self.sessions.keep(self)
        return read
