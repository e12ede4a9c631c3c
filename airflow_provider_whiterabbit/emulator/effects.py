"""The kinds of trouble (see `airflow_provider_whiterabbit.emulator.faults`)."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.faults import Call, Cut, Effect, Fault
from airflow_provider_whiterabbit.emulator.wire import encode


@dataclass(frozen=True)
class Answer(Effect):
    """Answers something else.

    :param body: bytes and text are sent as they are (``text/html`` unless `headers` say otherwise), anything else as
        JSON.
    :param process: the request is processed nevertheless, and its true answer thrown away.
    """

    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    process: bool = False

    async def apply(self, call: Call) -> None:
        """Answer instead of the endpoint."""
        if self.process:
            await call.proceed(_nowhere)
        if isinstance(self.body, bytes | str):
            media_type, body = "text/html", self.body.encode() if isinstance(self.body, str) else self.body
        else:
            media_type, body = "application/json", encode(self.body)
        headers = {"content-type": media_type, "content-length": str(len(body))}
        headers |= {name.lower(): value for name, value in self.headers.items()}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await call.send({"type": "http.response.start", "status": self.status, "headers": raw})
        await call.send({"type": "http.response.body", "body": body, "more_body": False})


class _Wait(Effect):
    """Lets the request, or its answer, wait."""

    before: bool

    @abstractmethod
    async def wait(self, fault: Fault) -> None:
        """Return when it may go on."""

    async def apply(self, call: Call) -> None:
        """Wait before the request is processed, or before its answer begins."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self.wait(call.fault)
            await call.send(message)

        if self.before:
            await self.wait(call.fault)
        await call.proceed(None if self.before else send)


@dataclass(frozen=True)
class Delay(_Wait):
    """Answers later.

    :param seconds: how much later.
    :param before: the request itself is processed that much later; otherwise it is processed at once.
    """

    seconds: float
    before: bool = False

    async def wait(self, fault: Fault) -> None:
        """Sleep."""
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class Hold(_Wait):
    """Holds the answer back until the fault is released; whether the client is still there makes no difference.

    :param before: the request itself is held back; otherwise it is processed at once.
    """

    before: bool = False

    async def wait(self, fault: Fault) -> None:
        """Wait for the release."""
        await fault.released.wait()


@dataclass(frozen=True)
class Reset(Effect):
    """Cuts the TCP connection with an RST.

    :param when: before the request is processed, before the answer's first byte, or in the answer's body.
    :param events: in the body: after that many events of a stream.
    :param extra: in the body: and then after that many bytes of what follows, so that an event is cut in two.
    """

    when: Literal["request", "answer", "body"] = "answer"
    events: int = 0
    extra: int = 0

    async def apply(self, call: Call) -> None:
        """Cut where it is time to."""
        if self.when == "request":
            await call.reset()
        remaining = self.events

        async def send(message: Message) -> None:
            nonlocal remaining
            if self.when == "answer":
                await call.reset()
            if remaining <= 0 and message.get("body"):
                await call.send({**message, "body": message["body"][: self.extra], "more_body": True})
                await call.reset()
            await call.send(message)
            remaining -= _is_event(message)
            if remaining <= 0 and not self.extra:
                await call.reset()

        await call.proceed(send)


class _AfterEvents(Effect):
    """Does something once, after a number of events of a stream; after none: right after the headers."""

    events: int

    @abstractmethod
    async def act(self, call: Call) -> None:
        """Do it."""

    async def apply(self, call: Call) -> None:
        """Count events, and act once."""
        remaining = self.events
        done = False

        async def send(message: Message) -> None:
            nonlocal remaining, done
            await call.send(message)
            remaining -= _is_event(message)
            if remaining <= 0 and not done:
                done = True
                await self.act(call)

        await call.proceed(send)


@dataclass(frozen=True)
class Close(_AfterEvents):
    """Closes a stream cleanly after a number of events."""

    events: int = 0

    async def act(self, call: Call) -> None:
        """End the body."""
        await call.send({"type": "http.response.body", "body": b"", "more_body": False})
        raise Cut


@dataclass(frozen=True)
class Silence(_AfterEvents):
    """Sends nothing any more after a number of events, not even pings; the connection stays open."""

    events: int = 0

    async def act(self, call: Call) -> None:
        """Wait until the client has had enough."""
        await call.gone()
        raise Cut


@dataclass(frozen=True)
class Inject(_AfterEvents):
    """Sends bytes as they are into a stream after a number of events, which then goes on."""

    data: bytes | str
    events: int = 0

    async def act(self, call: Call) -> None:
        """Send the bytes."""
        data = self.data.encode() if isinstance(self.data, str) else self.data
        await call.send({"type": "http.response.body", "body": data, "more_body": True})


@dataclass(frozen=True)
class Split(Effect):
    """Sends bodies and streams in pieces.

    :param sizes: bytes of each piece in turn; the last size is used again and again.
    :raises ValueError: if there is no size, or one below 1.
    """

    sizes: Sequence[int] = (1,)

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError("sizes must be at least one number, none below 1")

    async def apply(self, call: Call) -> None:
        """Send piece by piece."""
        sizes = list(self.sizes)

        async def send(message: Message) -> None:
            body = message.get("body", b"")
            while len(body) > sizes[0]:
                await call.send({**message, "body": body[: sizes[0]], "more_body": True})
                body = body[sizes[0] :]
                if len(sizes) > 1:
                    del sizes[0]
                # Only what is not sent in one go has a chance to arrive in pieces.
                await asyncio.sleep(0)
            await call.send({**message, "body": body} if "body" in message else message)

        await call.proceed(send)


@dataclass(frozen=True)
class Truncate(Effect):
    """Leaves out the end of a body; to HTTP the answer is whole.

    :param drop: number of bytes.
    """

    drop: int = 1

    async def apply(self, call: Call) -> None:
        """Collect the body, and send less of it."""
        start: Message = {}
        body = b""

        async def send(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                shorter = body[: -self.drop]
                headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
                headers.append((b"content-length", str(len(shorter)).encode()))
                await call.send({**start, "headers": headers})
                await call.send({**message, "body": shorter})

        await call.proceed(send)


EFFECTS: Mapping[str, Callable[..., Effect]] = {
    effect.__name__.lower(): effect for effect in (Answer, Delay, Hold, Reset, Close, Silence, Inject, Split, Truncate)
}
"""By the names that the control endpoints know."""


def _is_event(message: Message) -> bool:
    return bool(message.get("body", b"").startswith(b"data: {"))


async def _nowhere(_message: Message) -> None:
    """Send nothing to nobody."""
