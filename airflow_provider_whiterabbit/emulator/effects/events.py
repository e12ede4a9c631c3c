"""The events of a stream: which ones are sent, how often, in which order, and when.

An event is chosen by its number, counted from 1 as it arrives here, as ``"terminal"``, or, with None, as any. Pings and
raw bytes pass by. Where a stream's request is answered with an error, nothing happens.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.effects.base import Call, Effect
from airflow_provider_whiterabbit.emulator.effects.checks import check_not_negative
from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode
from airflow_provider_whiterabbit.emulator.plumbing.streams import FRAME, Frame, body_message

Chosen = int | Literal["terminal"] | None
"""Which events: one by its number from 1, the terminal one, or all."""

Change = Callable[[int, Frame], Iterable[Frame | bytes]]
"""Takes an event and its number; returns what is sent instead."""


def check_chosen(event: Chosen) -> None:
    """Check how events are chosen.

    :raises ValueError: if there is no such way.
    """
    if event not in (None, "terminal") and not (isinstance(event, int) and event >= 1):
        raise ValueError("event must be a number from 1, 'terminal', or None for all")


def chosen(event: Chosen, number: int, frame: Frame) -> bool:
    """Tell whether an event is meant."""
    return event is None or (frame.terminal if event == "terminal" else event == number)


async def change_events(call: Call, change: Change) -> None:
    """Let a stream run through `change`."""
    number = 0

    async def send(message: Message) -> None:
        nonlocal number
        if FRAME not in message:
            await call.send(message)
            return
        number += 1
        for item in change(number, message[FRAME]):
            await call.send(item.message() if isinstance(item, Frame) else body_message(item))

    await call.proceed(send)


class _OfStreams(Effect):
    """Changes events."""

    @property
    def streams(self) -> bool | None:
        """Other answers have no events."""
        return True

    @abstractmethod
    def begin(self) -> Change:
        """Return what changes the events of one stream."""

    async def apply(self, call: Call) -> None:
        """Let the stream run through it."""
        await change_events(call, self.begin())


@dataclass(frozen=True)
class Events(_OfStreams):
    """Changes events by a function. For Python alone.

    :param change: takes the number of an event (from 1) and its data, and returns what is sent instead: JSON values
        become events, text becomes the data of an event as it is, and bytes are sent as they are. It runs in the
        emulator's thread, once for each event of each stream; if it raises, the connection is closed.
    """

    change: Callable[[int, Any], Iterable[Any]]

    def begin(self) -> Change:
        """Apply the function."""

        def change(number: int, frame: Frame) -> Iterable[Frame | bytes]:
            # A copy, because all streams of an execution are told with the same object.
            for item in self.change(number, copy.deepcopy(frame.data)):
                yield item if isinstance(item, bytes) else replace(frame, data=item)

        return change


class _OfChosen(_OfStreams):
    """Changes the chosen events."""

    event: Chosen

    def __post_init__(self) -> None:
        check_chosen(self.event)

    def begin(self) -> Change:
        """Change what is chosen."""
        return lambda number, frame: self.instead(frame) if chosen(self.event, number, frame) else [frame]

    @abstractmethod
    def instead(self, frame: Frame) -> list[Frame | bytes]:
        """Return what is sent instead."""


@dataclass(frozen=True)
class Drop(_OfChosen):
    """Loses events. Without the terminal one, the stream closes all the same (`Linger` keeps it open)."""

    event: Chosen = None

    def instead(self, frame: Frame) -> list[Frame | bytes]:
        """Send nothing."""
        return []


@dataclass(frozen=True)
class Duplicate(_OfChosen):
    """Sends events twice."""

    event: Chosen = None

    def instead(self, frame: Frame) -> list[Frame | bytes]:
        """Send it twice."""
        return [frame, frame]


@dataclass(frozen=True)
class Replace(_OfChosen):
    """Sends something else instead of events.

    :param data: JSON value; text becomes the data of the event as it is, JSON or not.
    :raises TypeError: if it is not JSON.
    """

    data: Any
    event: Chosen = None

    def __post_init__(self) -> None:
        super().__post_init__()
        encode(self.data)

    def instead(self, frame: Frame) -> list[Frame | bytes]:
        """Send the data."""
        return [replace(frame, data=self.data)]


@dataclass(frozen=True)
class Swap(_OfStreams):
    """Sends an event after the one that follows it. A terminal event, which none follows, stays where it is.

    :param event: number from 1. If the stream is closed before another event follows, it is lost.
    :raises ValueError: if it is below 1.
    """

    event: int = 1

    def __post_init__(self) -> None:
        if self.event < 1:
            raise ValueError("event must be a number from 1")

    def begin(self) -> Change:
        """Keep the event until the next one was sent."""
        kept: list[Frame | bytes] = []

        def change(number: int, frame: Frame) -> list[Frame | bytes]:
            if number == self.event and not frame.terminal:
                kept.append(frame)
                return []
            sent = [frame, *kept]
            kept.clear()
            return sent

        return change


@dataclass(frozen=True)
class Postpone(Effect):
    """Sends events later; what follows waits behind them, pings too.

    :param seconds: how much later.
    :raises ValueError: if `seconds` is negative.
    """

    seconds: float
    event: Chosen = None

    def __post_init__(self) -> None:
        check_chosen(self.event)
        check_not_negative(seconds=self.seconds)

    @property
    def streams(self) -> bool | None:
        """Other answers have no events."""
        return True

    async def apply(self, call: Call) -> None:
        """Wait before the event is sent."""
        number = 0

        async def send(message: Message) -> None:
            nonlocal number
            if FRAME in message:
                number += 1
                if chosen(self.event, number, message[FRAME]):
                    await call.pause(self.seconds)
            await call.send(message)

        await call.proceed(send)
