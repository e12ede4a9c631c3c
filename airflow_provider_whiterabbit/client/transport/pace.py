"""How fast all clients of this process together send requests to one host, and when they send none."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from weakref import WeakValueDictionary

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.exceptions import WhiteRabbitResponseError

MAX_REQUESTS_PER_SECOND = 250
"""How many requests this process sends to a host in any one second, at most; opening a stream is one request."""

BURST = MAX_REQUESTS_PER_SECOND // 10
"""How many of these requests may be sent at once after a pause."""

_REFILL = MAX_REQUESTS_PER_SECOND - BURST  # per second; after a burst, a second has no more than the maximum either
_SHORTEST_TIMER = 0.02  # seconds; one timer then admits several requests
_BUSY = (429, 503)

_lock = threading.Lock()
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class HostPausedError(UnusableAnswerError):
    """Raised instead of sending a request to a host that asked for a pause.

    :param asked: seconds that the host asked for.
    :param left: seconds of the pause that are left.
    """

    def __init__(self, asked: float, left: float) -> None:
        super().__init__(f"not sent, because the host asked for a pause of {asked:.0f} s (Retry-After)")
        self.left = left


class Host:
    """The pace of the requests to one host: a token bucket, and the pause that the host asked for. It is thread-safe.

    A pause ends when its time is over, so a ``Retry-After`` of an outage delays nothing after the outage.
    """

    __slots__ = ("__weakref__", "_asked", "_filled_at", "_paused_until", "_tokens")

    def __init__(self) -> None:
        self._tokens = float(BURST)
        self._filled_at = monotonic()
        self._paused_until = self._filled_at
        self._asked = 0.0

    def take(self) -> float:
        """Take the permission to send one request now, and return 0; or return seconds after which to ask again.

        :raises HostPausedError: if the host asked for a pause that is not over.
        """
        with _lock:
            now = monotonic()
            if now < self._paused_until:
                raise HostPausedError(self._asked, self._paused_until - now)
            self._tokens = min(float(BURST), self._tokens + (now - self._filled_at) * _REFILL)
            self._filled_at = now
            if self._tokens < 1:
                return (1 - self._tokens) / _REFILL
            self._tokens -= 1
            return 0.0

    def heed(self, error: WhiteRabbitResponseError, longest: float) -> None:
        """Pause all requests to the host if an HTTP response 429 or 503 has a ``Retry-After``.

        :param longest: a longer pause is cut to so many seconds.
        """
        if error.status not in _BUSY or not error.retry_after:
            return
        asked = min(error.retry_after, longest)
        with _lock:
            until = monotonic() + asked
            if until > self._paused_until:
                self._paused_until, self._asked = until, asked


_hosts: WeakValueDictionary[str, Host] = WeakValueDictionary()


def host_of(base_url: str) -> Host:
    """Return the host that all clients of this process with the same base URL share while any of them lives."""
    base_url = base_url.rstrip("/").lower()
    with _lock:
        host = _hosts.get(base_url)
        if host is None:
            host = _hosts[base_url] = Host()
        return host


class Line:
    """The queue of an event loop's requests to one host: they are sent in the order in which they came.

    One timer serves the whole queue. A request whose task is cancelled leaves the queue and takes no permission.
    """

    __slots__ = ("_host", "_timer", "_waiting")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def admit(self) -> None:
        """Wait until one more request may be sent.

        :raises HostPausedError: if the host asked for a pause that is not over.
        """
        admitted = asyncio.get_running_loop().create_future()
        self._waiting.append(admitted)
        if self._timer is None:
            self._serve()
        await admitted

    def _serve(self) -> None:
        self._timer = None
        while self._waiting:
            first = self._waiting[0]
            if not first.done():
                try:
                    pause = self._host.take()
                except HostPausedError as error:
                    first.set_exception(error)
                else:
                    if pause:
                        self._timer = first.get_loop().call_later(max(pause, _SHORTEST_TIMER), self._serve)
                        return
                    first.set_result(None)
            self._waiting.popleft()
