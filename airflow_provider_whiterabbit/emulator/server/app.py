"""The ASGI application: a request's way through journal, faults and authentication to its endpoint."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_whiterabbit.emulator.effects.base import CLOCK, wrap
from airflow_provider_whiterabbit.emulator.plumbing.listener import TRANSPORT, Listener, reset
from airflow_provider_whiterabbit.emulator.plumbing.outages import Outages
from airflow_provider_whiterabbit.emulator.server.api import Api
from airflow_provider_whiterabbit.emulator.server.auth import Authenticator, canonical
from airflow_provider_whiterabbit.emulator.server.control import Control
from airflow_provider_whiterabbit.emulator.world.errors import ApiError
from airflow_provider_whiterabbit.emulator.world.world import World

MAX_BODY = 64 * 1024 * 1024
"""Bytes; more is answered with 413. White Rabbit's own limit is not documented."""

_GRACE = 0.05
"""Seconds for streams to end by themselves before they are cut."""


class Application:
    """One emulator as an ASGI application.

    :param listener: what brings the requests.
    """

    def __init__(self, world: World, authenticator: Authenticator, listener: Listener) -> None:
        self._world = world
        self._authenticator = authenticator
        self.outages = Outages(listener, self.drop)
        self._routes = [*Api(world).routes, *Control(world, self.outages, self.reset).routes]
        self._in_flight: dict[asyncio.Task[Any], asyncio.Transport] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Treat one request."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        self._in_flight[task] = scope["extensions"][TRANSPORT]
        try:
            await self._treat(scope, receive, send)
        except asyncio.CancelledError:
            # Only `drop` cancels, and it has cut the connection: there is nobody to tell, and nothing to log.
            return
        finally:
            del self._in_flight[task]

    def start(self) -> None:
        """Let executions and runs go on that an earlier `close` has stopped."""
        self._world.resume()

    async def reset(self) -> None:
        """Forget everything. Streams end cleanly; requests that are held back, delayed or silenced are cut."""
        await self.close()
        # Not before: a request that was under way could still have left something behind.
        self._world.clear()
        self.outages.cut_connections(0)

    async def close(self) -> None:
        """End all streams and requests, and keep what is known."""
        self.outages.forget()
        self._world.stop()
        if tasks := self._others():
            await asyncio.wait(tasks, timeout=_GRACE)
        await self.drop()
        await self._world.deliveries.stop()

    async def drop(self) -> None:
        """Cut every connection that waits for an answer or reads a stream."""
        tasks = self._others()
        for task in tasks:
            reset(self._in_flight[task])
            task.cancel()
        await asyncio.gather(*tasks)

    def _others(self) -> list[asyncio.Task[Any]]:
        current = asyncio.current_task()
        return [task for task in self._in_flight if task is not current]

    async def _treat(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        scope["body"] = body
        scope["extensions"][CLOCK] = self._world.clock
        path = scope["raw_path"].decode("ascii")
        route = self._route(scope)
        endpoint = partial(self._answer, route)
        dated = partial(self._send_dated, send)
        if path.startswith("/_emulator"):
            await endpoint(scope, receive, dated)
            return
        headers = dict(Request(scope).headers)
        journal = self._world.journal
        number = journal.arrived(scope["method"], path, route.name if route else None, headers, body)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                journal.answered(number, message["status"])
            await dated(message)

        app: ASGIApp = wrap(endpoint, self._world.faults, journal.entry(number))
        await app(scope, receive, noted)

    def _route(self, scope: Scope) -> Route | None:
        for route in self._routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                scope.update(child)
                return route
        return None

    async def _answer(self, route: Route | None, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._admit(scope)
            if route is None:
                raise self._no_route(scope)
            await route.handle(scope, receive, send)
        except ApiError as error:
            await error.response()(scope, receive, send)
        except RecursionError:
            await ApiError(400, "TOO_DEEP", "The body is nested too deeply.").response()(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        body: bytes = scope["body"]
        if len(body) > MAX_BODY:
            raise ApiError(413, "BODY_TOO_LARGE", f"The body may have {MAX_BODY} bytes.")
        text = canonical(body) if body else None
        # What JavaScript would go on to work with: 1.0 has become 1, and long integers have lost digits.
        scope["json"] = None if text is None else json.loads(text)
        if scope["path"].startswith("/v1/sdk/"):
            path = scope["raw_path"].decode("ascii")  # what was signed
            self._authenticator.check(scope["method"], path, dict(Request(scope).headers), text)

    def _no_route(self, scope: Scope) -> ApiError:
        if any(route.matches(scope)[0] is Match.PARTIAL for route in self._routes):
            return ApiError(405, "METHOD_NOT_ALLOWED", f"{scope['method']} is not allowed here.")
        return ApiError(404, "NOT_FOUND", f"Cannot {scope['method']} {scope['path']}")

    async def _send_dated(self, send: Send, message: Message) -> None:
        if message["type"] == "http.response.start" and not any(name == b"date" for name, _ in message["headers"]):
            date = (b"date", self._world.clock.http_date().encode())
            message = {**message, "headers": [*message["headers"], date]}
        await send(message)


async def _read(receive: Receive) -> bytes:
    """Return the whole body, or a little more than may be sent."""
    body = b""
    while len(body) <= MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body
