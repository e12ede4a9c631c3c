"""Whole answers: another one, a later one, a shorter one."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.effects.base import Call, Effect
from airflow_provider_whiterabbit.emulator.effects.checks import check_not_negative
from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode


@dataclass(frozen=True)
class Answer(Effect):
    """Answers something else.

    :param body: bytes and text are sent as they are (``text/html`` unless `headers` say otherwise), anything else as
        JSON.
    :param process: the request is processed nevertheless, and its true answer thrown away. Not for streams, whose
        answer has no end to wait for.
    :param retry_after: seconds that ``Retry-After`` asks to wait.
    :param retry_at: the same, as the HTTP date of that moment on the emulator's clock.
    :raises ValueError: if the status does not exist, or both kinds of ``Retry-After`` are given.
    :raises TypeError: if the body is not JSON.
    """

    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    process: bool = False
    retry_after: int | None = None
    retry_at: int | None = None

    def __post_init__(self) -> None:
        if HTTPStatus(self.status) < HTTPStatus.OK:
            raise ValueError("status must be that of a final answer, 200 or more")
        if self.retry_after is not None and self.retry_at is not None:
            raise ValueError("give retry_after or retry_at, not both")
        check_not_negative(retry_after=self.retry_after, retry_at=self.retry_at)
        if not isinstance(self.body, bytes | str):
            encode(self.body)

    @property
    def streams(self) -> bool | None:
        """Not for streams that are to be processed."""
        return False if self.process else None

    async def apply(self, call: Call) -> None:
        """Answer instead of the endpoint."""
        if self.process:
            await call.proceed(_nowhere)
        if isinstance(self.body, bytes | str):
            media_type, body = "text/html", self.body.encode() if isinstance(self.body, str) else self.body
        else:
            media_type, body = "application/json", encode(self.body)
        headers = {"content-type": media_type, "content-length": str(len(body))}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.retry_at is not None:
            headers["retry-after"] = call.clock.http_date(self.retry_at)
        headers |= {name.lower(): value for name, value in self.headers.items()}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await call.send({"type": "http.response.start", "status": self.status, "headers": raw})
        await call.send({"type": "http.response.body", "body": body, "more_body": False})


class _Wait(Effect):
    """Lets the request, or its answer, wait."""

    before: bool

    @abstractmethod
    async def wait(self, call: Call) -> None:
        """Return when it may go on."""

    async def apply(self, call: Call) -> None:
        """Wait before the request is processed, or before its answer begins.

        A request that has arrived is processed whether its client is still there or not; an answer without a client
        is given up.
        """

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await call.unless_gone(self.wait(call))
            await call.send(message)

        if self.before:
            await self.wait(call)
        await call.proceed(None if self.before else send)


@dataclass(frozen=True)
class Delay(_Wait):
    """Answers later.

    :param seconds: how much later.
    :param before: the request itself is processed that much later; otherwise it is processed at once.
    :raises ValueError: if `seconds` is negative.
    """

    seconds: float
    before: bool = False

    def __post_init__(self) -> None:
        check_not_negative(seconds=self.seconds)

    async def wait(self, call: Call) -> None:
        """Sleep."""
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class Hold(_Wait):
    """Holds the answer back until the fault is released, the client leaves, or the emulator is reset.

    :param before: the request itself is held back, whether its client leaves or not; otherwise it is processed at once.
    """

    before: bool = False

    async def wait(self, call: Call) -> None:
        """Wait for the release."""
        await call.fault.released()


@dataclass(frozen=True)
class Truncate(Effect):
    """Leaves out the end of a body; to HTTP the answer is whole. Not for streams.

    :param drop: number of bytes.
    :raises ValueError: if `drop` is below 1.
    """

    drop: int = 1

    def __post_init__(self) -> None:
        if self.drop < 1:
            raise ValueError("drop must be at least 1")

    @property
    def streams(self) -> bool | None:
        """Not for streams, which have no end to wait for."""
        return False

    async def apply(self, call: Call) -> None:
        """Collect the body, and send less of it."""

        async def shorter(start: Message, body: bytes) -> None:
            rest = body[: -self.drop]
            await call.send(with_length(start, len(rest)))
            await call.send({"type": "http.response.body", "body": rest, "more_body": False})

        await collect(call, shorter)


async def collect(call: Call, answer: Callable[[Message, bytes], Awaitable[None]]) -> None:
    """Let a request be processed, and let `answer` answer it, which is given the start and the body of the true one."""
    start: Message = {}
    pieces: list[bytes] = []

    async def send(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            await answer(start, b"".join(pieces))

    await call.proceed(send)


def with_length(start: Message, length: int) -> Message:
    """Return the start of an answer whose body has that many bytes."""
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    return {**start, "headers": [*headers, (b"content-length", str(length).encode())]}


async def _nowhere(_message: Message) -> None:
    """Send nothing to nobody."""
