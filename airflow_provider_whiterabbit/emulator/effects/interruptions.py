"""Simulated faults that interrupt an HTTP response within its body: `Reset`, `Close`, `Silence`, `Inject`.

The position is a number of events and then a number of bytes. A response that ends before it passes unchanged.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.effects.fault import Call, Cut, Effect, check_not_negative
from airflow_provider_whiterabbit.emulator.world.streams import FRAME, body_message


class Interruption(Effect):
    """Base class of faults that interrupt an HTTP response after `events` stream events and `extra` more bytes.

    If `events` and `extra` are 0, the HTTP response is interrupted right after its headers.
    """

    events: int
    extra: int

    def __post_init__(self) -> None:
        check_not_negative(events=self.events, extra=self.extra)

    @property
    def streams(self) -> bool | None:
        """True if `events` is set: only event streams support the fault, as other responses have no events."""
        return True if self.events else None

    @abstractmethod
    async def interrupt(self, call: Call) -> None:
        """Interrupt the HTTP response; raises `Cut` to end the response."""

    async def apply(self, call: Call) -> None:
        """Count the events and bytes of an HTTP response while it is sent, and interrupt the response once."""
        events_left, bytes_left, interrupted = self.events, self.extra, False

        async def send_until_position(message: Message) -> None:
            nonlocal events_left, bytes_left, interrupted
            body = message.get("body", b"")
            if not interrupted and events_left <= 0 and len(body) >= bytes_left > 0:
                interrupted = True
                await call.send(body_message(body[:bytes_left]))
                await self.interrupt(call)
                message = {**message, "body": body[bytes_left:]}
            elif events_left <= 0:
                bytes_left -= len(body)
            await call.send(message)
            events_left -= FRAME in message
            # If the endpoint answers with an error instead of a stream, the effect does nothing.
            interrupted = interrupted or (self.streams is True and not stream_continues(message))
            if not interrupted and events_left <= 0 and bytes_left == 0:
                interrupted = True
                await self.interrupt(call)

        await call.proceed(send_until_position)


@dataclass(frozen=True)
class Reset(Interruption):
    """The emulator closes the TCP connection of a request with an RST.

    :param when: ``request``: before the endpoint processes the request; ``answer``: after that, before the first byte
        of the answer; ``body``: in the body of the answer.
    :param events: only with ``body``: the emulator sends that many events of a stream before the RST.
    :param extra: only with ``body``: the emulator sends that many more bytes, for example a part of the next event.
    """

    when: Literal["request", "answer", "body"] = "answer"
    events: int = 0
    extra: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.when not in ("request", "answer", "body"):
            raise ValueError("when must be 'request', 'answer' or 'body'")
        if self.when != "body" and (self.events or self.extra):
            raise ValueError("events and extra are a position in the body: they need when='body'")

    async def interrupt(self, call: Call) -> None:
        """Close the TCP connection of the request with an RST."""
        await call.reset()

    async def apply(self, call: Call) -> None:
        """Close the TCP connection of the request with an RST at the moment that `when` names."""

        async def reset_instead(_message: Message) -> None:
            await call.reset()

        if self.when == "request":
            await call.reset()
        await (super().apply(call) if self.when == "body" else call.proceed(reset_instead))


@dataclass(frozen=True)
class Close(Interruption):
    """The emulator ends an HTTP response early: after `events` stream events and `extra` more bytes.

    :param clean: if True, the answer is complete by the rules of HTTP; only streams support this. If False, the
        emulator closes the connection with a FIN, and the answer is incomplete.
    """

    events: int = 0
    extra: int = 0
    clean: bool = True

    @property
    def streams(self) -> bool | None:
        """True if `clean` is set: only event streams support the fault; other responses announce their length."""
        return True if self.clean else super().streams

    async def interrupt(self, call: Call) -> None:
        """End the body of the HTTP response if `clean` is set, else close the TCP connection."""
        if not self.clean:
            await call.hang_up()
        await call.finish()
        raise Cut


@dataclass(frozen=True)
class Silence(Interruption):
    """The emulator falls silent after `events` stream events and `extra` more bytes; the connection stays open."""

    events: int = 0
    extra: int = 0

    async def interrupt(self, call: Call) -> None:
        """Send nothing more, and wait until the client disconnects."""
        await call.gone()
        raise Cut


@dataclass(frozen=True)
class Inject(Interruption):
    """The emulator inserts `data` into an event stream, after `events` events and `extra` more bytes."""

    streams = True
    data: bytes | str
    events: int = 0
    extra: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.data, bytes | str):
            raise TypeError("data must be bytes or text")

    async def interrupt(self, call: Call) -> None:
        """Send `data` on the event stream."""
        await call.send(body_message(self.data.encode() if isinstance(self.data, str) else self.data))


def stream_continues(message: Message) -> bool:
    """Return whether an ASGI message belongs to an event stream and is not the stream's last message."""
    if message["type"] == "http.response.start":
        return any(name == b"content-type" and b"text/event-stream" in value for name, value in message["headers"])
    return bool(message.get("more_body", False))
