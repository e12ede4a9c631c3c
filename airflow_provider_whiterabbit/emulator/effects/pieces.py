"""How bodies are sent: in which pieces, and with an end that does not come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.effects.base import Call, Cut, Effect
from airflow_provider_whiterabbit.emulator.effects.checks import check_not_negative
from airflow_provider_whiterabbit.emulator.effects.places import goes_on
from airflow_provider_whiterabbit.emulator.plumbing.streams import body_message


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
                stream = goes_on(message)
            if not stream or goes_on(message):
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
