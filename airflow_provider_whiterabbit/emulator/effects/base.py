"""Things that go wrong: on which requests, how often, and what happens then.

An effect is a layer around the endpoint and knows neither endpoints nor state; a new kind of trouble is a new subclass
of `Effect` in `effects`, and nothing else changes. Faults wrap each other: one that is added later works on what the
earlier ones let through.

What an effect has to remember of a request it keeps in its `apply`, never in itself: it serves many requests at once.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.listener import TRANSPORT, reset
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.journal import Entry, Kind

CLOCK = "whiterabbit.clock"
"""Name of the ASGI extension that holds the emulator's `Clock`."""

STREAMS = ("stream", "run_stream")
"""The kinds of requests that are answered with a stream."""


class Cut(Exception):
    """The answer ends here; raised out of `send` to make the endpoint stop."""


@dataclass(slots=True)
class Call:
    """One request on its way to the endpoint, as an effect sees it.

    :param fault: the fault whose effect this is.
    :param kind: which endpoint the request is for; None if for none.
    :param app: the endpoint, with the faults that were added earlier around it.
    """

    fault: Fault
    kind: str | None
    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream, if it is not an error."""
        return self.kind in STREAMS

    @property
    def clock(self) -> Clock:
        """The emulator's clock."""
        clock: Clock = self.scope["extensions"][CLOCK]
        return clock

    async def proceed(self, send: Send | None = None) -> None:
        """Let the request be processed; the answer goes through `send`."""
        await self.app(self.scope, self.receive, send or self.send)

    async def gone(self) -> None:
        """Return when the client has left."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def turn(self) -> None:
        """Let others have their turn; raises `Cut` if the client has left."""
        await asyncio.sleep(0)
        if self._transport.is_closing():
            raise Cut

    async def pause(self, seconds: float) -> None:
        """Let time pass; raises `Cut` as soon as the client leaves."""
        await self.unless_gone(asyncio.sleep(seconds))

    async def unless_gone(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Wait for something; raises `Cut` as soon as the client leaves."""
        tasks = [asyncio.ensure_future(coroutine), asyncio.ensure_future(self.gone())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not tasks[0].done():
                raise Cut
        finally:
            for task in tasks:
                task.cancel()

    async def reset(self) -> NoReturn:
        """Cut the TCP connection with an RST."""
        reset(self._transport)
        await self.gone()
        raise Cut

    async def hang_up(self) -> NoReturn:
        """Close the TCP connection with a FIN, whatever is missing of the answer."""
        self._transport.close()
        await self.gone()
        raise Cut

    @property
    def _transport(self) -> asyncio.Transport:
        transport: asyncio.Transport = self.scope["extensions"][TRANSPORT]
        return transport


class Effect(ABC):
    """What a fault does to a request. Subclasses are dataclasses."""

    @property
    def streams(self) -> bool | None:
        """Whether it is for streams alone (True), for other answers alone (False), or for both (None)."""
        return None

    @abstractmethod
    async def apply(self, call: Call) -> None:
        """Treat one request; raises `Cut` to end the answer."""

    def fits(self, kind: str | None) -> bool:
        """Tell whether it makes sense for requests of a kind."""
        return self.streams is None or self.streams == (kind in STREAMS)


@dataclass(eq=False)
class Fault:
    """An effect, and the requests that it befalls. Requests that the effect is not for are left alone, and not counted.

    :param kind: which endpoint they are for; None for any.
    :param method: HTTP method; None for any.
    :param path: glob for the URL path (``*`` crosses slashes); None for any.
    :param skip: how many matching requests go through before it begins.
    :param times: how many requests it befalls after that; None for all.
    :raises ValueError: if there is no such kind, the effect is not for this kind, or a number is negative.
    """

    effect: Effect
    kind: Kind | None = None
    method: str | None = None
    path: str | None = None
    skip: int = 0
    times: int | None = 1
    _released: bool = False
    _changes: Changes = field(default_factory=Changes, repr=False)
    _seen: int = 0

    def __post_init__(self) -> None:
        if self.kind not in (None, *get_args(Kind)):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}")
        if self.kind is not None and not self.effect.fits(self.kind):
            allowed = [kind for kind in get_args(Kind) if self.effect.fits(kind)]
            raise ValueError(f"{self.effect} can't befall kind={self.kind!r}, only {', '.join(allowed)}")
        if self.skip < 0 or (self.times is not None and self.times < 0):
            raise ValueError("skip and times must not be negative")

    @property
    def hits(self) -> int:
        """How many requests it has befallen."""
        befallen = max(0, self._seen - self.skip)
        return befallen if self.times is None else min(befallen, self.times)

    def befalls(self, request: Entry) -> bool:
        """Tell whether it is this request's turn, and count the request."""
        if not self.effect.fits(request.kind) or not request.matches(self.method, self.path, self.kind):
            return False
        before = self.hits
        self._seen += 1
        return self.hits > before

    def release(self) -> None:
        """Let go what it holds back."""
        self._released = True
        self._changes.notify()

    async def released(self) -> None:
        """Return when it is released."""
        await self._changes.until(lambda: self._released)

    async def run(self, app: ASGIApp, kind: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Treat one request."""
        try:
            await self.effect.apply(Call(self, kind, app, scope, receive, send))
        except Cut:
            return


def wrap(app: ASGIApp, faults: Iterable[Fault], request: Entry) -> ASGIApp:
    """Return the endpoint with the faults around it whose turn it is."""
    for fault in faults:
        if fault.befalls(request):
            app = partial(fault.run, app, request.kind)
    return app
