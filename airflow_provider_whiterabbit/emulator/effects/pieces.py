"""Bytes on their way: where they stop, what comes between them, and in which pieces they are sent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.effects.checks import check_not_negative
from airflow_provider_whiterabbit.emulator.faults import Call, Cut, Effect
from airflow_provider_whiterabbit.emulator.streams import FRAME, body_message


class _AtPlace(Effect):
    """Does something once, after `events` events of a stream and then `extra` bytes of what follows.

    Both 0: right after the headers. An answer that ends before goes through as it is.
    """

    events: int
    extra: int

    def __post_init__(self) -> None:
        check_not_negative(events=self.events, extra=self.extra)

    @property
    def streams(self) -> bool | None:
        """Only streams have events to count."""
        return True if self.events else None

    @abstractmethod
    async def act(self, call: Call) -> None:
        """Do it."""

    async def apply(self, call: Call) -> None:
        """Count events and bytes, and act once."""
        events, extra, done = self.events, self.extra, False

        async def send(message: Message) -> None:
            nonlocal events, extra, done
            if not done and events <= 0 and message.get("body"):
                # Some bytes more, or it would have been done after the event before.
                first = message["body"][:extra]
                extra -= len(first)
                if not extra:
                    done = True
                    await call.send(body_message(first))
                    await self.act(call)
                    message = {**message, "body": message["body"][len(first) :]}
            await call.send(message)
            events -= FRAME in message
            # A stream's request that is answered with an error has no place in its body.
            done = done or (self.streams is True and not _goes_on(message))
            if not done and events <= 0 and not extra:
                done = True
                await self.act(call)

        await call.proceed(send)


@dataclass(frozen=True)
class Reset(_AtPlace):
    """Cuts the TCP connection with an RST.

    :param when: before the request is processed, before the answer's first byte, or in the answer's body.
    :param events: in the body: after that many events of a stream.
    :param extra: in the body: and then after that many bytes of what follows, so that an event is cut in two.
    :raises ValueError: if there is no such place.
    """

    when: Literal["request", "answer", "body"] = "answer"
    events: int = 0
    extra: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.when not in ("request", "answer", "body"):
            raise ValueError("when must be 'request', 'answer' or 'body'")
        if self.when != "body" and (self.events or self.extra):
            raise ValueError("events and extra count what is in a body: they need when='body'")

    async def act(self, call: Call) -> None:
        """Cut."""
        await call.reset()

    async def apply(self, call: Call) -> None:
        """Cut where it is time to."""

        async def cut(_message: Message) -> None:
            await call.reset()

        if self.when == "request":
            await call.reset()
        elif self.when == "answer":
            await call.proceed(cut)
        else:
            await super().apply(call)


@dataclass(frozen=True)
class Close(_AtPlace):
    """Closes a stream after a number of events.

    :param extra: and then after that many bytes of what follows, so that an event is cut in two.
    :param clean: the answer is whole to HTTP. If not, the connection is closed (with a FIN) within the answer; that is
        for any answer.
    :raises ValueError: if a number is negative.
    """

    events: int = 0
    extra: int = 0
    clean: bool = True

    @property
    def streams(self) -> bool | None:
        """Only streams can end anywhere, other answers say how long they are."""
        return True if self.clean else super().streams

    async def act(self, call: Call) -> None:
        """End the body, or the connection."""
        if not self.clean:
            await call.hang_up()
        await call.send({"type": "http.response.body", "body": b"", "more_body": False})
        raise Cut


@dataclass(frozen=True)
class Silence(_AtPlace):
    """Sends nothing any more after a number of events, not even pings; the connection stays open.

    :param extra: and then after that many bytes of what follows.
    :raises ValueError: if a number is negative.
    """

    events: int = 0
    extra: int = 0

    async def act(self, call: Call) -> None:
        """Wait until the client has had enough."""
        await call.gone()
        raise Cut


@dataclass(frozen=True)
class Inject(_AtPlace):
    """Sends bytes as they are into a stream after a number of events, which then goes on.

    :param extra: and then after that many bytes of what follows.
    :raises ValueError: if a number is negative.
    """

    data: bytes | str
    events: int = 0
    extra: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.data, bytes | str):
            raise TypeError("data must be bytes or text")

    @property
    def streams(self) -> bool | None:
        """Other answers say how long they are."""
        return True

    async def act(self, call: Call) -> None:
        """Send the bytes."""
        await call.send(body_message(self.data.encode() if isinstance(self.data, str) else self.data))


@dataclass(frozen=True)
class Linger(Effect):
    """Does not close a stream that is at its end; pings go on until the client has had enough.

    :param ping_interval: seconds between the pings; None for no pings.
    :raises ValueError: if `ping_interval` is not positive.
    """

    ping_interval: float | None = 15.0

    def __post_init__(self) -> None:
        if self.ping_interval is not None and self.ping_interval <= 0:
            raise ValueError("ping_interval must be positive, or None for no pings")

    @property
    def streams(self) -> bool | None:
        """Other answers say how long they are."""
        return True

    async def apply(self, call: Call) -> None:
        """Keep the end back."""
        stream = False

        async def send(message: Message) -> None:
            nonlocal stream
            if message["type"] == "http.response.start":
                stream = _goes_on(message)
            if not stream or _goes_on(message):
                await call.send(message)
                return
            if self.ping_interval is None:
                await call.gone()
                raise Cut
            while True:
                await call.pause(self.ping_interval)
                await call.send(body_message(b":ping\n\n"))

        await call.proceed(send)


@dataclass(frozen=True)
class Split(Effect):
    """Sends bodies and streams in pieces.

    :param sizes: bytes of each piece in turn; the last size is used again and again.
    :param interval: seconds between two pieces.
    :raises ValueError: if there is no size, or one below 1, or if `interval` is negative.
    """

    sizes: Sequence[int] = (1,)
    interval: float = 0

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError("sizes must be at least one number, none below 1")
        check_not_negative(interval=self.interval)

    async def apply(self, call: Call) -> None:
        """Send piece by piece."""
        sizes = list(self.sizes)

        async def send(message: Message) -> None:
            body = memoryview(message.get("body", b""))
            while len(body) > sizes[0]:
                await call.send(body_message(bytes(body[: sizes[0]])))
                body = body[sizes[0] :]
                if len(sizes) > 1:
                    del sizes[0]
                if self.interval:
                    await call.pause(self.interval)
                else:
                    # Only what is not sent in one go has a chance to arrive in pieces.
                    await call.turn()
            await call.send({**message, "body": bytes(body)} if "body" in message else message)

        await call.proceed(send)


def _goes_on(message: Message) -> bool:
    """Tell whether a message is part of a stream that has not ended with it."""
    if message["type"] == "http.response.start":
        return any(name == b"content-type" and b"text/event-stream" in value for name, value in message["headers"])
    return bool(message.get("more_body", False))
