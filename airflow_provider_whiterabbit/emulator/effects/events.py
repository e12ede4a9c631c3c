"""Simulated faults that drop, repeat, reorder, delay or replace the events of an event stream.

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
from airflow_provider_whiterabbit.emulator.world.streams import FRAME, Frame, body_message

EventChoice = int | Literal["terminal"] | None
"""Which events of a stream a simulated fault changes: a number from 1, ``"terminal"``, or None for all events."""


async def for_each_event(call: Call, send_event: Callable[[int, Message], Awaitable[None]]) -> None:
    """Run the endpoint; instead of sending a stream event, call `send_event` with its number and ASGI message."""
    event_number = 0

    async def send_or_event(message: Message) -> None:
        nonlocal event_number
        if FRAME in message:
            event_number += 1
            await send_event(event_number, message)
        else:
            await call.send(message)

    await call.proceed(send_or_event)


class ChosenEvents(Effect):
    """Base class of simulated faults that change only those events of a stream that `event` chooses."""

    event: EventChoice

    def __post_init__(self) -> None:
        if self.event not in (None, "terminal") and not (isinstance(self.event, int) and self.event >= 1):
            raise ValueError("event must be a number from 1, 'terminal', or None for all")

    @property
    def streams(self) -> bool | None:
        """Always True: only event streams support this fault, because other HTTP responses have no events."""
        return True

    @abstractmethod
    async def send_chosen(self, call: Call, message: Message) -> None:
        """Send something instead of a chosen stream event, whose ASGI message is `message`."""

    async def apply(self, call: Call) -> None:
        """Call `send_chosen` for each stream event that `event` chooses, and send all other events unchanged."""

        async def send_event(event_number: int, event_message: Message) -> None:
            is_terminal_event = event_message[FRAME].terminal
            event_is_chosen = is_terminal_event if self.event == "terminal" else self.event in (None, event_number)
            await (self.send_chosen(call, event_message) if event_is_chosen else call.send(event_message))

        await for_each_event(call, send_event)


@dataclass(frozen=True)
class Drop(ChosenEvents):
    """The emulator omits the events that `event` chooses. The stream still closes at its end, except with `Linger`."""

    event: EventChoice = None

    async def send_chosen(self, call: Call, message: Message) -> None:
        """Omit the stream event."""


@dataclass(frozen=True)
class Duplicate(ChosenEvents):
    """The emulator sends each stream event that is chosen by `event` twice."""

    event: EventChoice = None

    async def send_chosen(self, call: Call, message: Message) -> None:
        """Send the stream event twice."""
        await call.send(message)
        await call.send(message)


@dataclass(frozen=True)
class Replace(ChosenEvents):
    """The emulator replaces the data of the stream events that `event` chooses.

    :param data: JSON value; text becomes the data of the event unchanged, even if it is not JSON.
    """

    data: Any
    event: EventChoice = None

    def __post_init__(self) -> None:
        super().__post_init__()
        encode(self.data)

    async def send_chosen(self, call: Call, message: Message) -> None:
        """Send the stream event with `data` instead of its own data."""
        await call.send(replace(message[FRAME], data=self.data).message())


@dataclass(frozen=True)
class Postpone(ChosenEvents):
    """The emulator waits `seconds` seconds before it sends a chosen stream event; later events and pings wait too."""

    seconds: float
    event: EventChoice = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_not_negative(seconds=self.seconds)

    async def send_chosen(self, call: Call, message: Message) -> None:
        """Wait `seconds` seconds, then send the stream event."""
        await call.pause(self.seconds)
        await call.send(message)


@dataclass(frozen=True)
class Swap(Effect):
    """The emulator swaps a stream event with the next event. A terminal event, which is the last, stays in place.

    :param event: number of the event, from 1. If the stream closes before the next event, the event is lost.
    """

    streams = True
    event: int = 1

    def __post_init__(self) -> None:
        if self.event < 1:
            raise ValueError("event must be a number from 1")

    async def apply(self, call: Call) -> None:
        """Keep the stream event number `event` until the next event is sent."""
        postponed_events: list[Message] = []

        async def send_event(event_number: int, event_message: Message) -> None:
            if event_number == self.event and not event_message[FRAME].terminal:
                postponed_events.append(event_message)
                return
            await call.send(event_message)
            while postponed_events:
                await call.send(postponed_events.pop())

        await for_each_event(call, send_event)


@dataclass(frozen=True)
class Events(Effect):
    """The emulator sends what a Python function returns for each stream event. `Events` is not available over HTTP.

    :param change: takes the number of an event (from 1) and its data, and returns the items to send instead: a JSON
        value becomes an event, text becomes the data of an event unchanged, and bytes are sent unchanged. The function
        runs in the emulator's thread for each event of each stream; if it raises, the emulator closes the connection.
    """

    streams = True
    change: Callable[[int, Any], Iterable[Any]]

    async def apply(self, call: Call) -> None:
        """Call the function `change` for each stream event, and send what the function returns."""

        async def send_event(event_number: int, event_message: Message) -> None:
            event_frame: Frame = event_message[FRAME]
            # The function gets a copy, because all streams of an execution share the same data.
            for item in self.change(event_number, copy.deepcopy(event_frame.data)):
                if isinstance(item, bytes):
                    await call.send(body_message(item))
                else:
                    await call.send(replace(event_frame, data=item).message())

        await for_each_event(call, send_event)
