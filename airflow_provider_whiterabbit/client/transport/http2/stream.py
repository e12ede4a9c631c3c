"""One request on an HTTP/2 connection, and its answer, which offers what `aio_io` needs of an `aiohttp` response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Protocol

from airflow_provider_whiterabbit.client.transport.failures import TooSlowError, UnusableAnswerError

MAX_HEAD_BYTES = 64 * 1024
"""Largest list of headers, or of trailers, of one answer, counted as RFC 9113, section 6.5.2 does."""

MAX_INTERIM = 100
"""How many interim answers (1xx) are skipped before an answer."""

_OVERHEAD = 32  # bytes that count for each header besides its name and its value


class NotProcessedError(UnusableAnswerError):
    """Raised if the server has told that it did not process a request, which may then be sent on another connection."""


class Http1RequiredError(UnusableAnswerError):
    """Raised if the server wants a request by HTTP/1.1."""


class ResetError(UnusableAnswerError):
    """Raised if the server ended one stream, and not its connection."""


class StreamOwner(Protocol):
    """What a stream needs of its connection."""

    def consumed(self, stream: Stream) -> None:
        """Let the server send more on a stream, all of whose bytes were read."""

    def reset(self, stream: Stream) -> None:
        """Tell the server that the rest of an answer is not wanted."""


class StreamReader(Protocol):
    """What a stream needs of a reader that need not wake for all that arrives."""

    def skips(self, data: bytes, now: float) -> bool:
        """Take bytes for which the reader waits if it would only wait on after them; return whether it would.

        :param now: when they arrived, by the clock of the event loop.
        """


class Stream:
    """A request that was sent, and its answer.

    :param window: bytes that the server may send before they are read.
    :param silence: seconds to wait for each next part of the answer; None for no limit.
    """

    __slots__ = (
        "__weakref__", "_connection", "_failure", "_has_ended", "_interim", "_missing", "_pieces", "_silence",
        "_waiter", "cut_out", "headers", "identity", "is_known", "reader", "status", "unread", "window",
    )  # fmt: skip

    def __init__(self, connection: StreamOwner, identity: int, window: int, silence: float | None) -> None:
        self._connection = connection
        self._silence = silence
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._failure: UnusableAnswerError | None = None
        self._has_ended = False
        self._interim = 0
        self._missing: int | None = None  # bytes of the body that are still to come, if its length is known
        self.identity = identity
        self.is_known = True
        """Whether the connection still has it: neither its end nor an error has arrived, and it was not closed."""
        self.window = window
        self.unread = 0
        """Bytes that the server may not send again before they were read, with their padding."""
        self.cut_out = 0
        """Those of them that arrived in frames of which h2 was not told."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.reader: StreamReader | None = None
        """Is asked about what arrives while `readany` waits; None if `readany` is to return all of it."""

    # --- for the reader

    @property
    def content(self) -> Stream:
        """What the body is read from."""
        return self

    @property
    def closed(self) -> bool:
        """Whether nothing more arrives."""
        return not self.is_known

    async def head(self) -> None:
        """Wait for the status and the headers of the answer.

        :raises NotProcessedError: if the request may be sent on another connection.
        :raises Http1RequiredError: if it must be sent by HTTP/1.1.
        :raises UnusableAnswerError: if there is no answer.
        """
        while not self.status:
            self._check()
            await self._change()

    async def readany(self) -> bytes:
        """Return the bytes of the body that have arrived, at least one; an empty bytes object at the body's end.

        :raises UnusableAnswerError: if the answer breaks off, or nothing arrives in time.
        """
        while not self._pieces:
            if self._has_ended:
                return b""
            self._check()
            await self._change()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._connection.consumed(self)
        return data

    def close(self) -> None:
        """Stop reading. The connection lives on."""
        self._pieces.clear()
        self.reader = None  # which refers to this stream
        if self.is_known:
            self._connection.reset(self)
            self.fail(UnusableAnswerError("the stream was closed"))

    release = close

    # --- for the connection

    def interim(self) -> bool:
        """Take an interim answer; return whether there may be more."""
        self._interim += 1
        return self._interim <= MAX_INTERIM

    def answered(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the head of the answer. Fields of the same name are combined (RFC 9110, section 5.3).

        :raises UnusableAnswerError: if it is too large, or has no status, or a length that is no number.
        """
        check_size(fields)
        status = ""
        for raw_name, raw_value in fields:
            name, value = raw_name.decode("utf-8", "replace").lower(), raw_value.decode("utf-8", "replace")
            if name == ":status":
                status = value
            elif not name.startswith(":"):
                self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        if not (len(status) == 3 and status.isascii() and status.isdigit() and status >= "200"):
            raise UnusableAnswerError(f"the answer has the status {status!a:.20}")
        if (length := self.headers.get("content-length")) is not None and status != "304":
            self._missing = _length(length)
        self.status = int(status)
        self._wake()

    def skips(self, data: bytes, now: float) -> bool:
        """Take bytes of the body if they are read without waking the reader; return whether they are.

        :param now: when they arrived, by the clock of the event loop.
        """
        # While a reader waits, nothing that arrived before is unread.
        if self.reader is None or self._waiter is None or self._waiter.done() or not self.reader.skips(data, now):
            return False
        if self._missing is not None:
            self._missing -= len(data)
        self._connection.consumed(self)
        return True

    def received(self, data: bytes) -> None:
        """Take bytes of the body."""
        if self._missing is not None:
            self._missing -= len(data)
        if data:
            self._pieces.append(data)
            self._wake()

    def ended(self) -> None:
        """Take the end of the answer."""
        if not self.status:
            self.fail(UnusableAnswerError("the stream ended before the answer began"))
            return
        if self._missing:
            self.fail(UnusableAnswerError("the body has not the length that its head tells"))
            return
        self._has_ended, self.is_known = True, False
        self._wake()

    def fail(self, error: UnusableAnswerError) -> None:
        """Take the end of an answer that breaks off. What arrived before is read nevertheless."""
        self.is_known = False
        if not self._has_ended:
            self._failure = self._failure or error
        self._wake()

    def _check(self) -> None:
        if self._failure is not None:
            raise type(self._failure)(*self._failure.args)  # a new one: many readers may get the same

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _change(self) -> Awaitable[None]:
        """Return what is done when the next part of the answer has arrived."""
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter if self._silence is None else _within(self._silence, self._waiter)


async def _within(silence: float, waiter: asyncio.Future[None]) -> None:
    try:
        async with asyncio.timeout(silence) as timer:
            await waiter
    except TimeoutError:
        if not timer.expired():
            raise
        raise TooSlowError(f"nothing arrived for {silence:g} s") from None


def _length(text: str) -> int:
    """Return a body's length, which may be told more than once (RFC 9110, section 8.6)."""
    values = set(text.split(", "))
    value = values.pop()
    if values or not (value.isascii() and value.isdigit() and len(value) < 20):
        raise UnusableAnswerError(f"the answer has the length {text!a:.40}")
    return int(value)


def check_size(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Check the size of a list of headers or trailers.

    :raises UnusableAnswerError: if it is larger than `MAX_HEAD_BYTES`.
    """
    if sum(len(name) + len(value) + _OVERHEAD for name, value in fields) > MAX_HEAD_BYTES:
        raise UnusableAnswerError(f"the answer has more than {MAX_HEAD_BYTES} bytes of headers")
