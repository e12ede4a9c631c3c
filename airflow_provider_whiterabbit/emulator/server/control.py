"""Control over HTTP, for whoever runs the emulator as a process: what the Python API does, under ``/_emulator``.

No authentication: it listens to this machine alone, unless told otherwise. Bodies are JSON; *options* are the
parameters of `Script`::

    POST   reset
    POST   pause                                 {"seconds"}: refuse connections for so long, and cut the open ones
    POST   connections/cut                       {"count"}: cut the next ones as soon as they are accepted
    GET    journal
    POST   scripts                               {"module", options} or {"module", "steps": [{options}, …]}
    GET    executions
    POST   executions                            {"module", "input"?, "config"?, options}
    POST   executions/<id>/start|complete|fail   {"output"?, "error", "usage"?}
    POST   workflows                             {"workflow", "stages": [{"module", options}, …], "ending"?, "reason"?}
    POST   runs/<id>/cancel                      {"reason"?}
    POST   runs/<id>/stages/<n>/start|complete|fail
    POST   streams/<id>/raw                      {"data"}
    POST   streams/<id>/close
    POST   streams/<id>/options                  the parameters of `StreamOptions`
    POST   faults                                {"effect", its parameters, "kind"?, "method"?, "path"?, "skip"?,
                                                  "times"?}
    DELETE faults
    POST   faults/<id>/release
    POST   catalogue                             a component definition
    POST   settings                              the fields of `Settings`
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_whiterabbit.emulator.effects import EFFECTS
from airflow_provider_whiterabbit.emulator.effects.base import Fault
from airflow_provider_whiterabbit.emulator.plumbing.json_out import JsonResponse
from airflow_provider_whiterabbit.emulator.plumbing.outages import Outages
from airflow_provider_whiterabbit.emulator.world.errors import ApiError, not_found
from airflow_provider_whiterabbit.emulator.world.scripts import DEFAULT, Script
from airflow_provider_whiterabbit.emulator.world.tasks import Task
from airflow_provider_whiterabbit.emulator.world.workflows import StageScript, WorkflowScript
from airflow_provider_whiterabbit.emulator.world.world import World

Endpoint = Callable[[dict[str, Any], dict[str, str]], Any]
"""Takes body and path parameters; returns JSON, or a whole answer, or promises it."""


class Control:
    """The control endpoints over one world.

    :param outages: refuses connections.
    :param reset: forgets everything.
    """

    def __init__(self, world: World, outages: Outages, reset: Callable[[], Awaitable[None]]) -> None:
        self._world = world
        self._outages = outages
        self._reset = reset
        self.routes = [
            Route("/_emulator/reset", self._do_reset, methods=["POST"]),
            self._route("POST", "pause", self._pause),
            self._route("POST", "connections/cut", self._cut_connections),
            self._route("GET", "journal", self._journal),
            self._route("POST", "scripts", self._script),
            self._route("GET", "executions", self._executions),
            self._route("POST", "executions", self._create_execution),
            self._route("POST", "executions/{id}/{action}", self._move_execution),
            self._route("POST", "workflows", self._script_workflow),
            self._route("POST", "runs/{id}/cancel", self._cancel_run),
            self._route("POST", "runs/{id}/stages/{stage}/{action}", self._move_stage),
            self._route("POST", "streams/{id}/raw", self._send_raw),
            self._route("POST", "streams/{id}/close", self._close_streams),
            self._route("POST", "streams/{id}/options", self._stream_options),
            self._route("POST", "faults", self._add_fault),
            self._route("DELETE", "faults", self._clear_faults),
            self._route("POST", "faults/{id}/release", self._release_fault),
            self._route("POST", "catalogue", self._add_component),
            self._route("POST", "settings", self._change_settings),
        ]

    def _route(self, method: str, path: str, function: Endpoint) -> Route:
        async def endpoint(request: Request) -> Response:
            body = request.scope["json"]
            if body is None:
                body = {}
            if not isinstance(body, dict):
                raise ApiError(422, "VALIDATION_ERROR", "The body must be a JSON object.")
            try:
                result = function(body, request.path_params)
                if isinstance(result, Awaitable):
                    result = await result
                return result if isinstance(result, Response) else JsonResponse(result)
            except KeyError as error:
                raise ApiError(422, "VALIDATION_ERROR", f"{error.args[0]} is required") from error
            except (TypeError, ValueError, AttributeError) as error:
                raise ApiError(422, "VALIDATION_ERROR", str(error)) from error

        return Route(f"/_emulator/{path}", endpoint, methods=[method])

    async def _do_reset(self, _request: Request) -> Response:
        await self._reset()
        return JsonResponse({})

    async def _pause(self, body: dict[str, Any], _params: dict[str, str]) -> Response:
        seconds = body["seconds"]
        if seconds < 0:
            raise ValueError("seconds must not be negative")
        # Whoever has read the answer is refused from then on. Its own connection ends with it, and is not cut before.
        await self._outages.refuse()
        pause = BackgroundTask(self._outages.pause, seconds)
        return JsonResponse({}, headers={"connection": "close"}, background=pause)

    def _cut_connections(self, body: dict[str, Any], _params: dict[str, str]) -> Any:
        self._outages.cut_connections(body["count"])
        return {}

    def _journal(self, _body: dict[str, Any], _params: dict[str, str]) -> Any:
        return [entry.to_dict() for entry in self._world.journal.entries]

    def _script(self, body: dict[str, Any], _params: dict[str, str]) -> Any:
        module = body.pop("module")
        self._world.scripts.write(module, [Script(**step) for step in body.pop("steps", [body])])
        return {}

    def _executions(self, _body: dict[str, Any], _params: dict[str, str]) -> Any:
        return [execution.record() for execution in self._world.executions.values()]

    def _create_execution(self, body: dict[str, Any], _params: dict[str, str]) -> Any:
        module, inputs, config = body.pop("module"), body.pop("input", {}), body.pop("config", {})
        script = Script(**body) if body else None
        return self._world.create_execution(module, inputs, config, script).record()

    def _move_execution(self, body: dict[str, Any], params: dict[str, str]) -> Any:
        execution = self._world.execution(params["id"])
        _move(execution, params["action"], body)
        return execution.record()

    def _script_workflow(self, body: dict[str, Any], _params: dict[str, str]) -> Any:
        stages = [StageScript.from_options(stage) for stage in body["stages"]]
        script = WorkflowScript(stages, body.get("ending"), body.get("reason"))
        self._world.script_workflow(body["workflow"], script)
        return {}

    def _cancel_run(self, body: dict[str, Any], params: dict[str, str]) -> Any:
        run = self._world.run(params["id"])
        run.cancel(body.get("reason"))
        return run.record()

    def _move_stage(self, body: dict[str, Any], params: dict[str, str]) -> Any:
        _move(self._world.stage(params["id"], params["stage"]), params["action"], body)
        return self._world.run(params["id"]).record()

    def _send_raw(self, body: dict[str, Any], params: dict[str, str]) -> Any:
        topic = self._world.topic(params["id"])
        topic.send_raw(body["data"].encode())
        return {"streams": len(topic)}

    def _close_streams(self, _body: dict[str, Any], params: dict[str, str]) -> Any:
        topic = self._world.topic(params["id"])
        topic.close()
        return {"streams": len(topic)}

    def _stream_options(self, body: dict[str, Any], params: dict[str, str]) -> Any:
        topic = self._world.topic(params["id"])
        topic.options = replace(topic.options or self._world.settings.streams, **body)
        return {}

    def _add_fault(self, body: dict[str, Any], _params: dict[str, str]) -> Any:
        matching = {name: body.pop(name) for name in ("kind", "method", "path", "skip", "times") if name in body}
        name = body.pop("effect")
        if name not in EFFECTS:
            raise ValueError(f"effect must be one of {', '.join(EFFECTS)}")
        self._world.faults.append(Fault(EFFECTS[name](**body), **matching))
        return {"id": len(self._world.faults) - 1}

    def _clear_faults(self, _body: dict[str, Any], _params: dict[str, str]) -> Any:
        self._world.clear_faults()
        return {}

    def _release_fault(self, _body: dict[str, Any], params: dict[str, str]) -> Any:
        fault = self._world.fault(params["id"])
        fault.release()
        return {"hits": fault.hits}

    def _add_component(self, body: dict[str, Any], _params: dict[str, str]) -> Any:
        self._world.catalogue.add(body)
        return {}

    def _change_settings(self, body: dict[str, Any], _params: dict[str, str]) -> Any:
        self._world.change_settings(body)
        return {}


def _move(task: Task, action: str, body: dict[str, Any]) -> None:
    if action == "start":
        task.start()
    elif action == "complete":
        task.complete(body.get("output", DEFAULT), body.get("usage"))
    elif action == "fail":
        task.fail(body["error"], body.get("usage"))
    else:
        raise not_found("action", action)
