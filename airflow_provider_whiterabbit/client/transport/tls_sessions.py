"""Resumes TLS sessions: a server that drops thousands of event streams is not asked for as many full handshakes.

A resumed handshake needs no certificates and no signature, which are most of a handshake's work on both sides. asyncio
does not resume sessions. `ssl.SSLContext.sslobject_class` is the documented way to change the TLS of one context only.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

from airflow_provider_whiterabbit.client.clock import monotonic

LONGEST_TRUST = 3600.0
"""Seconds for which sessions are resumed after a full handshake, which alone checks the server's certificate."""

_KEPT_FOR = 60.0
"""Seconds after which a session is replaced by that of a connection that resumed it: some servers take a session for
few minutes only."""


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

    __slots__ = ("_clock", "_kept")

    def __init__(self, context: ssl.SSLContext, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        context.sslobject_class = type("ResumingObject", (_ResumingObject,), {"sessions": self})

    def forget(self) -> None:
        """Forget all sessions after a connection has failed, perhaps because of one of them."""
        self._kept.clear()

    def offer(self, tls: _ResumingObject) -> None:
        """Resume the session of an earlier connection to the same server in a new connection, if there is one."""
        kept = self._kept.get(tls.server_hostname or "")
        if kept is not None and self._clock() - kept.checked_at < LONGEST_TRUST:
            tls.session = kept.session
            tls.checked_at = kept.checked_at

    def keep(self, tls: _ResumingObject) -> None:
        """Keep the session of a connection whose server has sent something, so perhaps a ticket too."""
        name, now = tls.server_hostname, self._clock()
        if not name:
            return
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
