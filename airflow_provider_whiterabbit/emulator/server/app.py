"""The emulator's ASGI application: records each request, simulates faults, authenticates, and calls the endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_whiterabbit.emulator.effects.fault import CLOCK
from airflow_provider_whiterabbit.emulator.plumbing.channels import CHANNEL, Channel
from airflow_provider_whiterabbit.emulator.plumbing.listener import Listener
from airflow_provider_whiterabbit.emulator.plumbing.outages import Outages
from airflow_provider_whiterabbit.emulator.server import guard
from airflow_provider_whiterabbit.emulator.server.api import Api
from airflow_provider_whiterabbit.emulator.server.auth import Authenticator, canonical
from airflow_provider_whiterabbit.emulator.server.control import Control
from airflow_provider_whiterabbit.emulator.server.faults import Faults
from airflow_provider_whiterabbit.emulator.server.validation import NOT_PARSED, is_json
from airflow_provider_whiterabbit.emulator.world.errors import ApiError
from airflow_provider_whiterabbit.emulator.world.settings import MAX_BODY
from airflow_provider_whiterabbit.emulator.world.world import World

_GRACE = 0.05
"""How many seconds event streams get to end by themselves before the emulator resets their connections."""


class Application:
    """The emulator's ASGI application.

    :param listener: accepts the connections; from now on it passes their requests to this application.
    :param hosts: names under which the control endpoints may be reached, beside IP addresses and ``localhost``.
    """

    def __init__(
        self, world: World, authenticator: Authenticator, listener: Listener, hosts: Collection[str] = ()
    ) -> None:
        self.faults = Faults()
        self.outages = Outages(listener, self.drop_requests)
        self._world = world
        self._authenticator = authenticator
        self._hosts = hosts
        self._routes = [*Api(world).routes, *Control(world, self.faults, self.outages, self.reset).routes]
        self._in_flight: dict[asyncio.Task[Any], Channel] = {}
        """The asyncio task that processes each current request, and the channel of the request."""
        listener.serve(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one HTTP request."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        self._in_flight[task] = scope["extensions"][CHANNEL]
        try:
            await self._process(scope, receive, send)
        except asyncio.CancelledError:
            # Only `drop_requests` cancels, after it has reset the channel: nobody can receive an answer.
            return
        finally:
            del self._in_flight[task]

    async def reset(self) -> None:
        """Remove the emulator's state and end an outage. Event streams end cleanly; other requests are cut off."""
        await self.close()
        # The state is cleared after `close`, because a request that was still running could have added to it.
        self._world.clear()
        self.faults.clear()
        self.outages.cut_connections(0)
        await self.outages.resume()

    async def close(self) -> None:
        """End all event streams, requests and callback deliveries. Executions and workflow runs are kept."""
        self.outages.cancel_scheduled_end()
        self._world.stop()
        if tasks := self._other_requests():
            await asyncio.wait(tasks, timeout=_GRACE)
        await self.drop_requests()
        await self._world.deliveries.stop()

    async def drop_requests(self) -> None:
        """Cancel every request except the current request, and reset the channels of the canceled requests."""
        tasks = self._other_requests()
        for task in tasks:
            self._in_flight[task].reset()
            task.cancel()
        await asyncio.gather(*tasks)

    def _other_requests(self) -> list[asyncio.Task[Any]]:
        current = asyncio.current_task()
        return [task for task in self._in_flight if task is not current]

    async def _process(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["body"] = body = await _read_body(receive, self._max_body(scope))
        scope["extensions"][CLOCK] = self._world.clock
        path = scope["raw_path"].decode("ascii")
        route = self._route(scope)
        endpoint = partial(self._answer, route)
        send_with_date = partial(self._send_with_date, send)
        if _is_control(scope):
            await self._answer_control(endpoint, scope, receive, send_with_date)
            return
        headers = dict(Request(scope).headers)
        journal = self._world.journal
        module = self._world.module_of(scope.get("path_params", {}).get("id"))
        kind = route.name if route else None
        number = journal.add_request(scope["method"], path, kind, headers, body, module, scope["http_version"])

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start":
                journal.set_status(number, message["status"])
            await send_with_date(message)

        await self.faults.wrap(endpoint, journal.entry(number))(scope, receive, send_and_record)

    def _route(self, scope: Scope) -> Route | None:
        for route in self._routes:
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                scope.update(child_scope)
                return route
        return None

    async def _answer_control(self, endpoint: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = guard.refusal(Request(scope).headers, self._hosts)
        await (endpoint if refusal is None else refusal.response())(scope, receive, send)

    async def _answer(self, route: Route | None, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._parse_and_authenticate(scope)
            if route is None:
                raise self._no_route(scope)
            await route.handle(scope, receive, send)
        except ApiError as error:
            ignored = (NOT_PARSED,) if _is_ignored(scope) else ()
            await ApiError(error.status, error.code, *error.messages, *ignored).response()(scope, receive, send)
        except RecursionError:
            await ApiError(400, "TOO_DEEP", "The body is nested too deeply.").response()(scope, receive, send)

    def _parse_and_authenticate(self, scope: Scope) -> None:
        body: bytes = scope["body"]
        if len(body) > (max_body := self._max_body(scope)):
            raise ApiError(413, "BODY_TOO_LARGE", f"The body may have at most {max_body} bytes.")
        text = None if not body else "{}" if _is_ignored(scope) else canonical(body)
        # The parsed body is the one that JavaScript sees: 1.0 has become 1, and long integers have lost digits.
        scope["json"] = {} if text is None else json.loads(text)
        if scope["path"].startswith("/v1/sdk/"):
            signed_path = scope["raw_path"].decode("ascii")
            self._authenticator.check(scope["method"], signed_path, dict(Request(scope).headers), text)
            if _is_ignored(scope):
                raise ApiError(401, "BODY_NOT_PARSED", "Send the body as application/json.")

    def _max_body(self, scope: Scope) -> int:
        # Otherwise, a low limit could not be raised over HTTP.
        return MAX_BODY if _is_control(scope) else self._world.settings.max_body

    def _no_route(self, scope: Scope) -> ApiError:
        if any(route.matches(scope)[0] is Match.PARTIAL for route in self._routes):
            return ApiError(405, "METHOD_NOT_ALLOWED", f"{scope['method']} is not allowed here.")
        return ApiError(404, "NOT_FOUND", f"Cannot {scope['method']} {scope['path']}")

    async def _send_with_date(self, send: Send, message: Message) -> None:
        if message["type"] == "http.response.start" and not any(name == b"date" for name, _ in message["headers"]):
            date = (b"date", self._world.clock.http_date().encode())
            message = {**message, "headers": [*message["headers"], date]}
        await send(message)


def _is_control(scope: Scope) -> bool:
    # The routes match the decoded path, in which %5F has become an underscore.
    return str(scope["path"]).startswith("/_emulator")


def _is_ignored(scope: Scope) -> bool:
    """Return whether the body of a request does not count, as a body that is not announced as JSON."""
    # The control endpoints take what a plain ``curl -d`` sends.
    return bool(scope["body"]) and not _is_control(scope) and not is_json(Request(scope).headers)


async def _read_body(receive: Receive, max_body: int) -> bytes:
    """Return the body of a request; stop reading as soon as more than `max_body` bytes of the body have arrived."""
    body = b""
    while len(body) <= max_body:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body
