"""Reading bodies within bounds: of time, of each one's size, and of the memory that all of them together hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

SMALL = 64 * 1024
"""Bytes of a body that count for nothing, so that large ones never keep small ones out."""

SHARE = 4
"""How many bodies of the largest size may be held at once."""


class Refusal(Exception):
    """A request is answered with something else than 200, and has changed nothing.

    :param retry_after: seconds after which another try makes sense.
    """

    def __init__(self, status: HTTPStatus, reason: str, *, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.closes = False


class Bodies:
    """Reads the bodies of one process.

    Also a body that nobody wants is read to its end, and thrown away: a server that answers and hangs up while the
    other side still sends is seen there as a broken connection, and not as the answer that it gave.

    :param limit: bytes of the largest body that is taken.
    :param timeout: seconds that a body may take to arrive.
    """

    def __init__(self, limit: int, timeout: float) -> None:
        self._limit = limit
        self._timeout = timeout
        self._free = SHARE * limit

    @asynccontextmanager
    async def of(self, request: Request, refusal: Refusal | None = None) -> AsyncIterator[bytearray]:
        """Read a request's body, which is held until the context ends.

        :param refusal: what to answer in any case, as soon as the body has been read.
        :raises Refusal: that one, or 408, 413 or 503 for a body that is too slow, too large, or one too many.
        """
        body = bytearray()
        try:
            await self._read(request, body, refusal)
            yield body
        finally:
            self._free += _share(len(body))

    async def _read(self, request: Request, body: bytearray, refusal: Refusal | None) -> None:
        chunks, ends = request.stream(), asyncio.get_running_loop().time() + self._timeout
        try:
            while (chunk := await _next(chunks, ends)) is not None:
                refusal = refusal or self._refusal_of(len(body), len(chunk))
                if refusal is None:
                    self._free -= _share(len(body) + len(chunk)) - _share(len(body))
                    body += chunk
                else:
                    self._drop(body)
        except TimeoutError:
            refusal = refusal or Refusal(HTTPStatus.REQUEST_TIMEOUT, f"no end within {self._timeout:g} seconds")
            refusal.closes = True  # otherwise the rest could go on dribbling in
        except ClientDisconnect:
            refusal = refusal or Refusal(HTTPStatus.BAD_REQUEST, "cut off")
        if refusal is not None:
            raise refusal

    def _refusal_of(self, size: int, more: int) -> Refusal | None:
        if size + more > self._limit:
            return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {self._limit} bytes")
        if _share(size + more) - _share(size) > self._free:
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too much at once", retry_after=5)
        return None

    def _drop(self, body: bytearray) -> None:
        self._free += _share(len(body))
        body.clear()


async def _next(chunks: AsyncIterator[bytes], ends: float) -> bytes | None:
    """Return the next piece of a body, None behind the last.

    One time-out around all pieces could be lost: Starlette's middleware cancels within itself whenever a piece arrives,
    and anyio may take the time-out's cancellation of that moment for its own.

    :param ends: when there is no more time, by the loop's clock.
    """
    if asyncio.get_running_loop().time() >= ends:
        raise TimeoutError
    async with asyncio.timeout_at(ends):
        return await anext(chunks, None)


def _share(size: int) -> int:
    """Return what a body of that size takes of the memory that all share."""
    return max(0, size - SMALL)
