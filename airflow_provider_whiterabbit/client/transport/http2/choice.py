"""Whether HTTP/2 is used with a server: not if it chose HTTP/1.1, and not for a while after it broke HTTP/2."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextvars import Context

log = logging.getLogger(__name__)

HTTP1_FOR = 600.0
"""Seconds for which HTTP/1.1 is used with a server that chose it, or that broke HTTP/2 too often."""

MAX_FAILURES = 3
"""So many connections on which the server broke HTTP/2, in `HTTP1_FOR` seconds, are enough."""

MAX_RESETS = 10
"""So many streams in a row that the server reset instead of answering are enough too."""


class Choice:
    """Counts how a server breaks HTTP/2, and chooses HTTP/1.1 for `HTTP1_FOR` seconds if it does so too often.

    :param server: host and port, for the log.
    :param clock: returns seconds.
    """

    __slots__ = ("_clock", "_failures", "_http1_until", "_resets", "_server")

    def __init__(self, server: str, clock: Callable[[], float]) -> None:
        self._server = server
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=MAX_FAILURES)
        self._resets = 0
        self._http1_until = float("-inf")

    @property
    def is_http2(self) -> bool:
        """Whether HTTP/2 is tried."""
        return self._clock() >= self._http1_until

    def forget_http2(self) -> None:
        """Use HTTP/1.1, because the server chose it."""
        self._http1_until = self._clock() + HTTP1_FOR
        log.debug("%s speaks HTTP/1.1 only", self._server)

    def count_failure(self, reason: str) -> None:
        """Count a connection on which the server broke HTTP/2."""
        now = self._clock()
        self._failures.append(now)
        if len(self._failures) == MAX_FAILURES and now - self._failures[0] < HTTP1_FOR:
            self.use_http1(reason)

    def count_reset(self, reason: str) -> None:
        """Count a stream that the server reset instead of answering."""
        self._resets += 1
        if self._resets >= MAX_RESETS:
            self.use_http1(reason)

    def answered(self) -> None:
        """Forget the streams that were reset, because the server has answered on another one."""
        self._resets = 0

    def use_http1(self, reason: str) -> None:
        """Use HTTP/1.1 for a while, with one warning."""
        if self.is_http2:
            Context().run(  # in the log of the triggerer: by its context, Airflow finds the log of a wait's task
                log.warning,
                "%s offers HTTP/2, but it does not work: HTTP/1.1 is used for %d minutes (%s)",
                self._server,
                HTTP1_FOR // 60,
                reason,
            )
        self._http1_until = self._clock() + HTTP1_FOR
        self._failures.clear()
        self._resets = 0
