"""Reads the bodies of callback requests within limits of time, of size, and of the memory that all bodies share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

SMALL_BODY = 64 * 1024
"""How many bytes of each callback body do not count against the shared memory, so that small bodies never wait."""

LARGEST_BODIES = 4
"""How many callback bodies of the largest size fit into the shared memory at once."""

SAFE_SECONDS = 1.0
"""Seconds from its beginning for which a body that still arrives keeps its part of the shared memory in any case.

Afterwards it loses its part if another body needs it. Otherwise four slow senders without the secret, who send almost
all of four large bodies, could keep every callback with a large body out.
"""

LAG_INTERVAL = 0.5
"""Seconds between two measurements of how late the event loop runs its timers."""

MIN_LAG = 1.0
"""Seconds that the event loop must at least have lost before a body that did not arrive is put down to it."""

REFUSALS = {
    HTTPStatus.BAD_REQUEST: "record",
    HTTPStatus.UNAUTHORIZED: "signature",
    HTTPStatus.NOT_FOUND: "connection",
    HTTPStatus.REQUEST_TIMEOUT: "slow",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "size",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}
"""The reasons under which metrics count refusals, by the status of the answer."""


class Refusal(Exception):
    """Raised to refuse a callback: the receiver answers with an error status, and emits no event.

    :param status: HTTP status of the answer.
    :param reason: what the answer says.
    :param retry_after: seconds after which the sender may try again; None if another try makes no sense.
    :param outcome: name of the metric that counts the refusal; by default the one of its status.
    """

    def __init__(
        self, status: HTTPStatus, reason: str, *, retry_after: int | None = None, outcome: str | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.outcome = outcome or f"refused.{REFUSALS.get(status, 'error')}"
        self.closes_connection = False


@dataclass(eq=False, slots=True)
class _Arrival:
    """A body that still arrives; `begun` is a time of the event loop's clock."""

    body: bytearray
    begun: float
    has_lost_memory: bool = False


class BodyReader:
    """Reads the bodies of the callback requests that one process receives.

    The reader reads a refused body to its end too, and discards it: if a server answers and closes the connection
    while the sender still sends, the sender sees a broken connection instead of the answer.

    :param max_bytes: size of the largest body that the reader accepts.
    :param timeout: seconds that a body may take to arrive.
    """

    def __init__(self, max_bytes: int, timeout: float) -> None:
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._free_bytes = LARGEST_BODIES * max_bytes
        self._lag = _Lag()
        self._arrivals: dict[_Arrival, None] = {}  # the oldest first

    @asynccontextmanager
    async def read(self, request: Request, refusal: Refusal | None = None) -> AsyncIterator[bytearray]:
        """Read a callback request's body, and keep the body in memory until the context manager exits.

        :param refusal: a refusal to raise as soon as the body has arrived, whatever the body holds.
        :raises Refusal: the given one, or 408 for a body that is too slow or whose sender disconnects, 413 for one that
            is too large, and 503 if too many large bodies are in memory, or the event loop itself was too slow.
        """
        body = bytearray()
        arrival = _Arrival(body, asyncio.get_running_loop().time())
        try:
            self._arrivals[arrival] = None
            try:
                with self._lag.measured() as lost_seconds:
                    await self._read_chunks(request, arrival, refusal, lost_seconds)
            finally:
                del self._arrivals[arrival]
            yield body
        finally:
            self._free_bytes += _shared_bytes(len(body))

    async def _read_chunks(
        self, request: Request, arrival: _Arrival, refusal: Refusal | None, lost_seconds: Callable[[], float]
    ) -> None:
        chunks, deadline, body = request.stream(), arrival.begun + self._timeout, arrival.body
        try:
            while (chunk := await _next_chunk(chunks, deadline)) is not None:
                refusal = refusal or self._size_refusal(arrival, len(chunk))
                if refusal is None:
                    self._free_bytes -= _shared_bytes(len(body) + len(chunk)) - _shared_bytes(len(body))
                    body += chunk
                else:
                    self._discard(body)
            refusal = refusal or (_memory_refusal() if arrival.has_lost_memory else None)
        except TimeoutError:
            is_lost = arrival.has_lost_memory
            refusal = refusal or (_memory_refusal() if is_lost else self._timeout_refusal(lost_seconds()))
            refusal.closes_connection = True  # a slow sender could otherwise keep the connection busy
        except ClientDisconnect:
            # Nobody reads the answer; but 400 would count the callback as a signed one, and anyone can disconnect.
            refusal = refusal or Refusal(
                HTTPStatus.REQUEST_TIMEOUT, "the sender disconnected before the end of the body"
            )
        if refusal is not None:
            raise refusal

    def _timeout_refusal(self, lost_seconds: float) -> Refusal:
        reason = f"the body did not arrive within {self._timeout:g} seconds"
        if lost_seconds > max(MIN_LAG, self._timeout / 2):  # the body may have waited for the process to read it
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, reason, retry_after=10)
        return Refusal(HTTPStatus.REQUEST_TIMEOUT, reason)

    def _size_refusal(self, arrival: _Arrival, chunk_bytes: int) -> Refusal | None:
        if arrival.has_lost_memory:
            return _memory_refusal()
        size = len(arrival.body) + chunk_bytes
        if size > self._max_bytes:
            return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self._max_bytes} bytes")
        needed_bytes = _shared_bytes(size) - _shared_bytes(len(arrival.body))
        has_room = needed_bytes <= self._free_bytes or self._make_room(arrival, needed_bytes)
        return None if has_room else _memory_refusal()

    def _make_room(self, new: _Arrival, needed_bytes: int) -> bool:
        """Take the memory of bodies that are older than a new one and slow, and return whether there is room then."""
        begun_before = asyncio.get_running_loop().time() - SAFE_SECONDS
        for arrival in self._arrivals:
            if needed_bytes <= self._free_bytes or arrival.begun > begun_before or arrival is new:
                break
            if _shared_bytes(len(arrival.body)):
                arrival.has_lost_memory = True
                self._discard(arrival.body)
        return needed_bytes <= self._free_bytes

    def _discard(self, body: bytearray) -> None:
        self._free_bytes += _shared_bytes(len(body))
        body.clear()


class _Lag:
    """Measures, while bodies arrive, how much time the event loop of this process loses: how late it runs a timer."""

    def __init__(self) -> None:
        self._lost_seconds = 0.0
        self._users = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def measured(self) -> Iterator[Callable[[], float]]:
        """Return a function that returns the seconds that the event loop has lost since this call."""
        loop = asyncio.get_running_loop()
        self._users += 1
        if self._timer is None:
            self._start(loop)
        before = self._lost_until(loop.time())
        try:
            yield lambda: self._lost_until(loop.time()) - before
        finally:
            self._users -= 1

    def _lost_until(self, now: float) -> float:
        return self._lost_seconds + max(0.0, now - self._due)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + LAG_INTERVAL
        self._timer = loop.call_at(self._due, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._lost_seconds = self._lost_until(loop.time())
        self._timer = None
        if self._users:
            self._start(loop)


async def _next_chunk(chunks: AsyncIterator[bytes], deadline: float) -> bytes | None:
    """Return the next chunk of a request's body; None after the last chunk.

    Each chunk has a timeout of its own, because a single timeout around all chunks could get lost: Starlette's
    middleware cancels its own tasks whenever a chunk arrives, and anyio may mistake the timeout's cancellation for one
    of these.

    :param deadline: time of the event loop's clock, in seconds, at which to stop waiting.
    :raises TimeoutError: when the deadline has passed.
    """
    if asyncio.get_running_loop().time() >= deadline:
        raise TimeoutError
    async with asyncio.timeout_at(deadline):
        return await anext(chunks, None)


def _memory_refusal() -> Refusal:
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many large bodies at once", retry_after=5)


def _shared_bytes(body_bytes: int) -> int:
    """Return how many bytes a callback body of a given size takes from the memory that all bodies share."""
    return max(0, body_bytes - SMALL_BODY)
