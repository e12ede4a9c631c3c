"""White Rabbit's HTTP endpoints, emulated. The name of each route is the `Kind` of the requests to the route."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_whiterabbit.emulator.plumbing.json_out import JsonResponse
from airflow_provider_whiterabbit.emulator.server.validation import (
    callback_of,
    check_empty,
    check_submission,
    check_update,
)
from airflow_provider_whiterabbit.emulator.world.errors import ApiError
from airflow_provider_whiterabbit.emulator.world.streams import EventStream
from airflow_provider_whiterabbit.emulator.world.world import World

_EXECUTION = "/v1/sdk/components/executions/{id}"
_RUN = "/v1/sdk/workflows/executions/{id}"


class Api:
    """White Rabbit's HTTP endpoints, emulated. The endpoints find the parsed body of a request in ``scope["json"]``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.routes = [
            Route("/v1/sdk/components", self.submit, methods=["POST"], name="submit"),
            Route(_EXECUTION, self.record, name="record"),
            Route(f"{_EXECUTION}/stream", self.stream, name="stream"),
            Route(f"{_EXECUTION}/replay-callback", self.replay, methods=["POST"], name="replay"),
            Route(_RUN, self.run_record, name="run_record"),
            Route(f"{_RUN}/stream", self.run_stream, name="run_stream"),
            Route("/v1/sdk/workflows/{id}", self.trigger, methods=["POST"], name="trigger"),
            Route("/v1/sdk/workflows/{id}/components/{component}", self.update, methods=["POST"], name="update"),
            Route("/v1/system/components", self.catalogue, name="catalogue"),
        ]

    async def submit(self, request: Request) -> Response:
        """Execute a component; if ``waitForMs`` is given, wait up to that many milliseconds for the execution's end."""
        body = check_submission(request.scope["json"])
        if (refusal := self._world.catalogue.refusal(body["module"])) is not None:
            raise ApiError(422, "VALIDATION_ERROR", refusal)
        execution = self._world.create_execution(
            body["module"], body["input"], body["config"], callback=callback_of(body)
        )
        if body.get("waitForMs"):  # 0 is the default: the answer is CREATED, however soon the execution ends
            with suppress(TimeoutError):
                async with asyncio.timeout(body["waitForMs"] / 1000):
                    await execution.changes.until(lambda: execution.ended)
        return JsonResponse(execution.record())

    async def record(self, request: Request) -> Response:
        """Return the record of an execution."""
        execution = self._world.execution(request.path_params["id"])
        execution.count_poll()
        return JsonResponse(execution.record())

    async def stream(self, request: Request) -> Response:
        """Stream the events of an execution."""
        execution = self._world.execution(request.path_params["id"])
        return EventStream(execution.topic, self._world.settings.streams, execution.event())

    async def replay(self, request: Request) -> Response:
        """Deliver the callback of a finished execution again. The HTTP response does not wait for the delivery."""
        check_empty(request.scope["json"])
        execution = self._world.execution(request.path_params["id"])
        if execution.callback.url is None:
            raise ApiError(422, "NO_CALLBACK", "This execution has no callback.")
        if not execution.ended:
            raise ApiError(422, "NOT_TERMINAL", "This execution has not ended yet.")
        self._world.deliveries.deliver(execution)
        return JsonResponse(execution.record())

    async def trigger(self, request: Request) -> Response:
        """Start a run of a workflow."""
        check_empty(request.scope["json"])
        run, job = self._world.create_run(request.path_params["id"])
        return JsonResponse({"runId": run.id, "jobId": job})

    async def run_record(self, request: Request) -> Response:
        """Return the record of a workflow run."""
        run = self._world.run(request.path_params["id"])
        run.count_poll()
        return JsonResponse(run.record())

    async def run_stream(self, request: Request) -> Response:
        """Stream the events of a workflow run."""
        run = self._world.run(request.path_params["id"])
        return EventStream(run.topic, self._world.settings.streams, run.event())

    async def update(self, request: Request) -> Response:
        """Change the name, config or position of a component in a workflow."""
        changes: dict[str, Any] = check_update(request.scope["json"])
        params = request.path_params
        return JsonResponse(self._world.update_component(params["id"], params["component"], changes))

    async def catalogue(self, _request: Request) -> Response:
        """Return the catalogue of component definitions."""
        return JsonResponse(self._world.catalogue.list())
