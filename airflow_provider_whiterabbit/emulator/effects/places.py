"""Places within an answer, counted in events and bytes, at which it stops or something comes between."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.effects.base import Call, Cut, Effect
from airflow_provider_whiterabbit.emulator.effects.checks import check_not_negative
from airflow_provider_whiterabbit.emulator.plumbing.streams import FRAME, body_message


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
            done = done or (self.streams is True and not goes_on(message))
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


def goes_on(message: Message) -> bool:
    """Tell whether a message is part of a stream that has not ended with it."""
    if message["type"] == "http.response.start":
        return any(name == b"content-type" and b"text/event-stream" in value for name, value in message["headers"])
    return bool(message.get("more_body", False))
