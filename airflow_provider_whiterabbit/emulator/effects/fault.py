"""`Effect`: what a simulated fault does to a request. `Fault`: an effect and its requests. `Call`: one of the requests.

An effect wraps the endpoint and knows neither endpoints nor the emulator's state. To add one, write a subclass of
`Effect`; nothing else has to change.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, NoReturn, get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.channels import CHANNEL, Channel
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.errors import ApiError
from airflow_provider_whiterabbit.emulator.world.journal import Entry, Kind, Predicate, check_choice

CLOCK = "whiterabbit.clock"
"""Key under which the ``extensions`` of an ASGI scope hold the emulator's `Clock`."""

STREAMS = ("stream", "run_stream")
"""The kinds of requests that the emulator answers with an event stream."""


class Cut(Exception):
    """A simulated fault raises `Cut` to end an HTTP response: the endpoint stops, the emulator sends nothing more."""


class Effect(ABC):
    """What a simulated fault does to an HTTP request. Subclasses of `Effect` are dataclasses.

    An effect checks its parameters when it is created: it raises `ValueError` or `TypeError` for a value that it does
    not support. One effect serves many requests at the same time, so `apply` keeps the state of a request in local
    variables.
    """

    @property
    def streams(self) -> bool | None:
        """Which HTTP responses the effect supports: only event streams (True), no event streams (False), all (None)."""
        return None

    @abstractmethod
    async def apply(self, call: Call) -> None:
        """Process one HTTP request with this simulated fault; raises `Cut` to end the HTTP response."""

    def fits(self, kind: str | None) -> bool:
        """Return whether the simulated fault supports requests of the given `kind`."""
        return self.streams is None or self.streams == (kind in STREAMS)


@dataclass(slots=True)
class Call:
    """One HTTP request on its way to an endpoint of the emulator, as a simulated fault sees the request.

    :param fault: the fault that applies the effect.
    :param kind: the endpoint that the request is for; None for a path without an endpoint.
    :param app: the endpoint, wrapped in the faults that were added earlier.
    :param scope: ASGI scope; ``scope["body"]`` holds the bytes of the request's body.
    """

    fault: Fault
    kind: str | None
    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send

    @property
    def streams(self) -> bool:
        """Whether the request is for an event stream (the endpoint may still respond with an error)."""
        return self.kind in STREAMS

    @property
    def clock(self) -> Clock:
        """The emulator's clock."""
        clock: Clock = self.scope["extensions"][CLOCK]
        return clock

    async def proceed(self, send: Send | None = None) -> None:
        """Let the endpoint process the request, and pass each ASGI message of the HTTP response to `send`."""
        await self.app(self.scope, self.receive, send or self.send)

    async def finish(self, body: bytes = b"") -> None:
        """Send the last bytes of the HTTP response's body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def gone(self) -> None:
        """Wait until the client of the HTTP request has disconnected."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def turn(self) -> None:
        """Let other tasks of the event loop run; raises `Cut` if the HTTP client has disconnected."""
        await asyncio.sleep(0)
        if self._channel.is_closing:
            raise Cut

    async def pause(self, seconds: float) -> None:
        """Sleep for `seconds` seconds; raises `Cut` as soon as the HTTP client disconnects."""
        await self.unless_gone(asyncio.sleep(seconds))

    async def unless_gone(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Await a coroutine; raises `Cut` as soon as the HTTP client disconnects."""
        tasks = [asyncio.ensure_future(coroutine), asyncio.ensure_future(self.gone())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not tasks[0].done():
                raise Cut
        finally:
            for task in tasks:
                task.cancel()

    async def reset(self) -> NoReturn:
        """Break the HTTP response off with an RST of the TCP connection or with RST_STREAM, and raise `Cut`."""
        self._channel.reset()
        await self.gone()
        raise Cut

    async def hang_up(self) -> NoReturn:
        """Close the request's TCP connection with a FIN, even if the HTTP response is incomplete, and raise `Cut`."""
        self._channel.hang_up()
        await self.gone()
        raise Cut

    @property
    def _channel(self) -> Channel:
        channel: Channel = self.scope["extensions"][CHANNEL]
        return channel


@dataclass(eq=False)
class Fault:
    """A simulated fault: an effect, and the description of the requests that get the effect.

    A request matches if its kind, method, path and module match, `where` returns something true for it, and the effect
    supports its kind. Only matching requests are counted.

    :param kind: the endpoint that the request is for; None for any.
    :param method: HTTP method; None for any.
    :param path: glob for the URL path (``*`` also matches slashes); None for any.
    :param skip: how many matching requests pass unchanged first.
    :param times: how many matching requests get the effect after those; None for all.
    :param module: the module of the submission, or of the execution that the request is about; None for any.
    :param where: a function that takes the request, a journal `Entry`, and returns whether it matches; None for any.
    :raises ValueError: if no request can match, the effect does not support the kind, or a number is negative.
    :raises TypeError: if `effect` is not an `Effect`, or another argument has a wrong type.
    """

    effect: Effect
    kind: Kind | None = None
    method: str | None = None
    path: str | None = None
    skip: int = 0
    times: int | None = 1
    module: str | None = None
    where: Predicate | None = None
    _released: bool = False
    _changes: Changes = field(default_factory=Changes, repr=False)
    _matched: int = 0
    hits: int = field(default=0, init=False)
    """How many requests got the effect of the simulated fault so far."""

    def __post_init__(self) -> None:
        effect: object = self.effect
        if not isinstance(effect, Effect):
            raise TypeError(f"a fault needs an effect, such as effects.Answer(503), not {effect!r:.80}")
        check_choice(self.method, self.path, self.kind, self.where)
        if self.kind is not None and not self.effect.fits(self.kind):
            supported = [kind for kind in get_args(Kind) if self.effect.fits(kind)]
            raise ValueError(f"{self.effect} does not support kind={self.kind!r}, only {', '.join(supported)}")
        numbers: tuple[object, ...] = (self.skip, 0 if self.times is None else self.times)
        for number in numbers:
            if not isinstance(number, int) or isinstance(number, bool):
                raise TypeError(f"skip and times must be whole numbers, not {number!r:.80}")
            if number < 0:
                raise ValueError("skip and times must not be negative")

    def hit(self, request: Entry) -> bool:
        """Count a request if it matches the simulated fault; return whether the request gets the fault's effect.

        :raises ApiError: 500 if the function `where` raises.
        """
        if not self.effect.fits(request.kind):
            return False
        if not request.matches(self.method, self.path, self.kind, self.module) or not self._is_chosen(request):
            return False
        self._matched += 1
        is_hit = self._matched > self.skip and (self.times is None or self.hits < self.times)
        self.hits += is_hit
        return is_hit

    def _is_chosen(self, request: Entry) -> bool:
        try:
            return self.where is None or bool(self.where(request))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ApiError(500, "FAULT_WHERE", f"The function 'where' of a simulated fault raised {reason}") from error

    def release(self) -> None:
        """Release a `Hold`: let the requests that this simulated fault holds back, and later requests, continue.

        It may be called in any thread, as `Emulator.release`.
        """
        self._released = True
        self._changes.notify_from_any_thread()

    async def released(self) -> None:
        """Wait until the method `release` is called."""
        await self._changes.until(lambda: self._released)

    async def run(self, app: ASGIApp, kind: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one HTTP request with the fault's effect; `Call` describes the parameters."""
        try:
            await self.effect.apply(Call(self, kind, app, scope, receive, send))
        except Cut:
            return


def check_not_negative(**numbers: float | None) -> None:
    """Raise `ValueError` if an argument is negative, `TypeError` if the argument is not a number; None is valid."""
    for name, number in numbers.items():
        if number is not None and number < 0:
            raise ValueError(f"{name} must not be negative")
