"""Effects that drop, repeat, reorder, delay or replace events of a stream.

Events are counted as they reach the effect, from 1. Pings and raw bytes are not events and pass unchanged. If the
endpoint answers with an error instead of a stream, these effects do nothing.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.effects.fault import Call, Effect, check_not_negative
from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode
from airflow_provider_whiterabbit.emulator.plumbing.streams import FRAME, Frame, body_message

EventChoice = int | Literal["terminal"] | None
"""Which events of a stream an effect changes: one by its number from 1, the terminal one, or (None) all."""


async def for_each_event(call: Call, send_event: Callable[[int, Message], Awaitable[None]]) -> None:
    """Let the endpoint answer; `send_event` takes each event's number and ASGI message, and sends what it likes."""
    number = 0

    async def send(message: Message) -> None:
        nonlocal number
        if FRAME in message:
            number += 1
            await send_event(number, message)
        else:
            await call.send(message)

    await call.proceed(send)


class ChosenEvents(Effect):
    """Base class of effects that change the chosen events of a stream and send the others unchanged."""

    event: EventChoice

    def __post_init__(self) -> None:
        if self.event not in (None, "terminal") and not (isinstance(self.event, int) and self.event >= 1):
            raise ValueError("event must be a number from 1, 'terminal', or None for all")

    @property
    def streams(self) -> bool | None:
        """The effect supports only streams, because other answers have no events."""
        return True

    @abstractmethod
    async def send_chosen(self, call: Call, message: Message) -> None:
        """Send something instead of a chosen event, which is the ASGI message `message`."""

    async def apply(self, call: Call) -> None:
        """Call `send_chosen` for the chosen events."""

        async def send_event(number: int, message: Message) -> None:
            is_chosen = message[FRAME].terminal if self.event == "terminal" else self.event in (None, number)
            await (self.send_chosen(call, message) if is_chosen else call.send(message))

        await for_each_event(call, send_event)


@dataclass(frozen=True)
class Drop(ChosenEvents):
    """The emulator does not send the chosen events. It still closes the stream at its end, except with `Linger`."""

    event: EventChoice = None

    async def send_chosen(self, call: Call, message: Message) -> None:
        """Do not send the event."""


@dataclass(frozen=True)
class Duplicate(ChosenEvents):
    """The emulator sends the chosen events twice."""

    event: EventChoice = None

    async def send_chosen(self, call: Call, message: Message) -> None:
        """Send the event twice."""
        await call.send(message)
        await call.send(message)


@dataclass(frozen=True)
class Replace(ChosenEvents):
    """The emulator sends other data in the chosen events.

    :param data: JSON value; text becomes the data of the event unchanged, even if it is not JSON.
    """

    data: Any
    event: EventChoice = None

    def __post_init__(self) -> None:
        super().__post_init__()
        encode(self.data)

    async def send_chosen(self, call: Call, message: Message) -> None:
        """Send the event with the other data."""
        await call.send(replace(message[FRAME], data=self.data).message())


@dataclass(frozen=True)
class Postpone(ChosenEvents):
    """The emulator sends the chosen events some seconds later; events and pings after them wait."""

    seconds: float
    event: EventChoice = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_not_negative(seconds=self.seconds)

    async def send_chosen(self, call: Call, message: Message) -> None:
        """Wait, then send the event."""
        await call.pause(self.seconds)
        await call.send(message)


@dataclass(frozen=True)
class Swap(Effect):
    """The emulator sends an event after the next event. A terminal event, which no event follows, stays in its place.

    :param event: number of the event, from 1. If the stream closes before the next event, the event is lost.
    """

    streams = True
    event: int = 1

    def __post_init__(self) -> None:
        if self.event < 1:
            raise ValueError("event must be a number from 1")

    async def apply(self, call: Call) -> None:
        """Keep the event until the next one is sent."""
        postponed: list[Message] = []

        async def send_event(number: int, message: Message) -> None:
            if number == self.event and not message[FRAME].terminal:
                postponed.append(message)
                return
            await call.send(message)
            while postponed:
                await call.send(postponed.pop())

        await for_each_event(call, send_event)


@dataclass(frozen=True)
class Events(Effect):
    """The emulator sends what a Python function returns for each event. Not available over HTTP.

    :param change: takes the number of an event (from 1) and its data, and returns the items to send instead: a JSON
        value becomes an event, text becomes the data of an event unchanged, and bytes are sent unchanged. The function
        runs in the emulator's thread for each event of each stream; if it raises, the emulator closes the connection.
    """

    streams = True
    change: Callable[[int, Any], Iterable[Any]]

    async def apply(self, call: Call) -> None:
        """Call the function for each event."""

        async def send_event(number: int, message: Message) -> None:
            frame: Frame = message[FRAME]
            # The function gets a copy, because all streams of an execution share the same data.
            for item in self.change(number, copy.deepcopy(frame.data)):
                await call.send(body_message(item) if isinstance(item, bytes) else replace(frame, data=item).message())

        await for_each_event(call, send_event)
