"""Simulated faults that send an HTTP response late, in pieces or without an end: `Delay`, `Hold`, `Split`, `Linger`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.effects.fault import Call, Cut, Effect, check_not_negative
from airflow_provider_whiterabbit.emulator.effects.interruptions import stream_continues
from airflow_provider_whiterabbit.emulator.world.streams import body_message


@dataclass(frozen=True)
class Delay(Effect):
    """The emulator sends its HTTP response to a request `seconds` seconds late.

    :param before: if True, the endpoint processes the request after the delay, even if the client has disconnected. If
        False, it processes the request at once and only the answer is delayed.
    """

    seconds: float
    before: bool = False

    def __post_init__(self) -> None:
        check_not_negative(seconds=self.seconds)

    async def apply(self, call: Call) -> None:
        """Sleep for `seconds` seconds before the request is processed, or before the HTTP response is sent."""
        await _proceed_late(call, partial(asyncio.sleep, self.seconds), self.before)


@dataclass(frozen=True)
class Hold(Effect):
    """The emulator holds a response back until the fault is released, the client disconnects, or a reset happens.

    :param before: if True, the endpoint processes the request after the release, even if the client has disconnected.
        If False, it processes the request at once and only the answer is held.
    """

    before: bool = False

    async def apply(self, call: Call) -> None:
        """Wait for the fault's release before the request is processed, or before the HTTP response is sent."""
        await _proceed_late(call, call.fault.released, self.before)


async def _proceed_late(call: Call, wait: Callable[[], Coroutine[Any, Any, None]], before: bool) -> None:
    async def send_late(message: Message) -> None:
        if message["type"] == "http.response.start":
            await call.unless_gone(wait())
        await call.send(message)

    if before:
        await wait()
    await call.proceed(None if before else send_late)


@dataclass(frozen=True)
class Split(Effect):
    """The emulator sends the body of an HTTP response in pieces.

    :param sizes: number of bytes in each piece; the last number is also the size of all later pieces.
    :param interval: seconds between two pieces.
    """

    sizes: Sequence[int] = (1,)
    interval: float = 0

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError("sizes must be at least one number, none below 1")
        check_not_negative(interval=self.interval)

    async def apply(self, call: Call) -> None:
        """Send the body of the HTTP response in pieces."""
        sizes = list(self.sizes)

        async def send_in_pieces(message: Message) -> None:
            body = memoryview(message.get("body", b""))
            while len(body) > sizes[0]:
                await call.send(body_message(bytes(body[: sizes[0]])))
                body = body[sizes[0] :]
                if len(sizes) > 1:
                    del sizes[0]
                if self.interval:
                    await call.pause(self.interval)
                else:
                    # Without a turn of the event loop, the pieces would leave in one packet.
                    await call.turn()
            await call.send({**message, "body": bytes(body)} if "body" in message else message)

        await call.proceed(send_in_pieces)


@dataclass(frozen=True)
class Linger(Effect):
    """The emulator does not close an event stream at its end, but sends pings until the client disconnects.

    :param ping_interval: seconds between the pings; None for no pings.
    """

    streams = True
    ping_interval: float | None = 15.0

    def __post_init__(self) -> None:
        if self.ping_interval is not None and self.ping_interval <= 0:
            raise ValueError("ping_interval must be positive, or None for no pings")

    async def apply(self, call: Call) -> None:
        """Send pings on the event stream instead of closing the stream."""
        is_stream = False

        async def send_without_end(message: Message) -> None:
            nonlocal is_stream
            if message["type"] == "http.response.start":
                is_stream = stream_continues(message)
            if not is_stream or stream_continues(message):
                await call.send(message)
                return
            if self.ping_interval is None:
                await call.gone()
                raise Cut
            while True:
                await call.pause(self.ping_interval)
                await call.send(body_message(b":ping\n\n"))

        await call.proceed(send_without_end)
