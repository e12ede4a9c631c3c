"""How fast all clients of this process together send requests to one host, and when they send none."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from weakref import WeakValueDictionary

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.limits import REQUESTS_PER_SECOND
from airflow_provider_whiterabbit.exceptions import WhiteRabbitResponseError

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

    :param per_second: how many requests may be sent in any one second, a tenth of them at once after a pause.
    """

    __slots__ = ("__weakref__", "_asked", "_burst", "_filled_at", "_paused_until", "_refill", "_tokens")

    def __init__(self, per_second: int = REQUESTS_PER_SECOND) -> None:
        self._burst = float(max(1, per_second // 10))
        # After a burst, a second has no more than the maximum either. One request per second needs some refill too.
        self._refill = max(per_second - self._burst, 0.5 * per_second)
        self._tokens = self._burst
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
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._refill)
            self._filled_at = now
            if self._tokens < 1:
                return (1 - self._tokens) / self._refill
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


_hosts: WeakValueDictionary[tuple[str, int], Host] = WeakValueDictionary()


def host_of(base_url: str, per_second: int = REQUESTS_PER_SECOND) -> Host:
    """Return the host that all clients of this process with the same base URL and limit share while any of them lives.

    :param per_second: as for `Host`.
    """
    key = (origin(base_url), per_second)
    with _lock:
        host = _hosts.get(key)
        if host is None:
            host = _hosts[key] = Host(per_second)
        return host


def origin(base_url: str) -> str:
    """Return a base URL in the form in which equal ones are equal texts."""
    return base_url.rstrip("/").lower()


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
