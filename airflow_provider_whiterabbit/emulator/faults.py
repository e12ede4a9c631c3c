"""Things that go wrong: on which requests, how often, and what happens then.

An effect is a layer around the endpoint and knows neither endpoints nor state; a new kind of trouble is a new subclass
of `Effect` in `effects`, and nothing else changes. Faults wrap each other: one that is added later works on what the
earlier ones let through.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn, get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_whiterabbit.emulator.journal import Entry, Kind
from airflow_provider_whiterabbit.emulator.transport import TRANSPORT, reset


class Cut(Exception):
    """The answer ends here; raised out of `send` to make the endpoint stop."""


@dataclass(slots=True)
class Call:
    """One request on its way to the endpoint, as an effect sees it.

    :param fault: the fault whose effect this is.
    :param app: the endpoint, with the faults that were added earlier around it.
    """

    fault: Fault
    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send

    async def proceed(self, send: Send | None = None) -> None:
        """Let the request be processed; the answer goes through `send`."""
        await self.app(self.scope, self.receive, send or self.send)

    async def gone(self) -> None:
        """Return when the client has left."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def reset(self) -> NoReturn:
        """Cut the TCP connection with an RST."""
        reset(self.scope["extensions"][TRANSPORT])
        await self.gone()
        raise Cut


class Effect(ABC):
    """What a fault does to a request. Subclasses are dataclasses."""

    @abstractmethod
    async def apply(self, call: Call) -> None:
        """Treat one request; raises `Cut` to end the answer."""


@dataclass(eq=False)
class Fault:
    """An effect, and the requests that it befalls.

    :param kind: which endpoint they are for; None for any.
    :param method: HTTP method; None for any.
    :param path: glob for the URL path (``*`` crosses slashes); None for any.
    :param skip: how many matching requests go through before it begins.
    :param times: how many requests it befalls after that; None for all.
    :raises ValueError: if there is no such kind.
    """

    effect: Effect
    kind: Kind | None = None
    method: str | None = None
    path: str | None = None
    skip: int = 0
    times: int | None = 1
    released: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _seen: int = 0

    def __post_init__(self) -> None:
        if self.kind not in (None, *get_args(Kind)):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}")

    @property
    def hits(self) -> int:
        """How many requests it has befallen."""
        befallen = max(0, self._seen - self.skip)
        return befallen if self.times is None else min(befallen, self.times)

    def befalls(self, request: Entry) -> bool:
        """Tell whether it is this request's turn, and count the request."""
        if not request.matches(self.method, self.path, self.kind):
            return False
        before = self.hits
        self._seen += 1
        return self.hits > before

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Treat one request."""
        try:
            await self.effect.apply(Call(self, app, scope, receive, send))
        except Cut:
            return


def wrap(app: ASGIApp, faults: Iterable[Fault], request: Entry) -> ASGIApp:
    """Return the endpoint with the faults around it whose turn it is."""
    for fault in faults:
        if fault.befalls(request):
            app = partial(fault.run, app)
    return app
