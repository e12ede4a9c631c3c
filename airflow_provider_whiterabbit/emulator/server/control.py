"""HTTP endpoints under ``/_emulator`` that control an emulator which runs as a process, as `Emulator` does in Python.

The endpoints need no authentication: by default the emulator listens to this machine alone, and `guard` refuses what
comes from a web page. Bodies are JSON;
*options* are the parameters of `Script`::

    POST   reset
    POST   pause                                 {"seconds"}: refuse connections for that time, and reset the open ones
    POST   connections/cut                       {"count"}: reset the next ones as soon as they are accepted
    GET    journal
    POST   scripts                               {"module", options} or {"module", "steps": [{options}, …]}; for one
                                                 execution each, or "times"; null in the last: all further ones
    GET    executions
    POST   executions                            {"module", "input"?, "config"?, options}
    POST   executions/<id>/start|complete|fail   {"output"?, "error", "usage"?}
    POST   workflows                             {"workflow", "stages": [{"module", options}, …], "ending"?, "reason"?}
    POST   runs/<id>/cancel                      {"reason"?}
    POST   runs/<id>/stages/<n>/start|complete|fail
    POST   streams/<id>/raw                      {"data"}
    POST   streams/<id>/close
    POST   streams/<id>/options                  the parameters of `StreamOptions`
    POST   faults                                {"effect", its parameters, "kind"?, "method"?, "path"?, "module"?,
                                                  "skip"?, "times"?}
    DELETE faults
    POST   faults/<id>/release
    POST   catalogue                             a component definition
    POST   components                            {"module", and the parameters of `Emulator.component`}
    POST   settings                              the fields of `Settings`
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_whiterabbit.emulator.effects import EFFECTS, Fault
from airflow_provider_whiterabbit.emulator.plumbing.json_out import JsonResponse
from airflow_provider_whiterabbit.emulator.plumbing.outages import Outages
from airflow_provider_whiterabbit.emulator.server.faults import Faults
from airflow_provider_whiterabbit.emulator.world.declarations import definition_of
from airflow_provider_whiterabbit.emulator.world.errors import ApiError, not_found
from airflow_provider_whiterabbit.emulator.world.executions import Task
from airflow_provider_whiterabbit.emulator.world.scripts import DEFAULT, Script
from airflow_provider_whiterabbit.emulator.world.world import World

Body = dict[str, Any]

_FAULT_OPTIONS = ("kind", "method", "path", "module", "skip", "times")

Handler = Callable[..., Any]
"""A function that handles a request to a control endpoint. The function takes the JSON body and, by name, the path
parameters, and returns JSON, None for ``{}``, a `Response`, or an awaitable."""


class Control:
    """The HTTP endpoints under ``/_emulator`` that control one emulator.

    :param reset: resets the emulator.
    """

    def __init__(self, world: World, faults: Faults, outages: Outages, reset: Callable[[], Awaitable[None]]) -> None:
        self._world = world
        self._faults = faults
        self._outages = outages
        self.routes = [
            _route("POST", "reset", lambda _body: reset()),
            _route("POST", "pause", self._pause),
            _route("POST", "connections/cut", lambda body: outages.cut_connections(body["count"])),
            _route("GET", "journal", lambda _body: [entry.to_dict() for entry in world.journal.entries]),
            _route("POST", "scripts", self._script),
            _route("GET", "executions", lambda _body: [execution.record() for execution in world.executions.values()]),
            _route("POST", "executions", self._create_execution),
            _route("POST", "executions/{execution_id}/{action}", self._move_execution),
            _route("POST", "workflows", self._script_workflow),
            _route("POST", "runs/{run_id}/cancel", self._cancel_run),
            _route("POST", "runs/{run_id}/stages/{stage}/{action}", self._move_stage),
            _route("POST", "streams/{identity}/raw", self._send_raw),
            _route("POST", "streams/{identity}/close", self._close_streams),
            _route("POST", "streams/{identity}/options", self._change_stream_options),
            _route("POST", "faults", self._add_fault),
            _route("DELETE", "faults", lambda _body: faults.clear()),
            _route("POST", "faults/{position}/release", self._release_fault),
            _route("POST", "catalogue", world.catalogue.add),
            _route("POST", "components", lambda body: world.catalogue.add(definition_of(**body))),
            _route("POST", "settings", world.settings.change),
        ]

    async def _pause(self, body: Body) -> Response:
        seconds = body["seconds"]
        if seconds < 0:
            raise ValueError("seconds must not be negative")
        # New connections are refused before the answer is sent. The connection of this request is closed after its
        # answer, and the other open connections are reset then.
        await self._outages.refuse()
        pause = BackgroundTask(self._outages.pause, seconds)
        return JsonResponse({}, headers={"connection": "close"}, background=pause)

    def _script(self, body: Body) -> None:
        module = body.pop("module")
        steps: Any = [body]
        if "steps" in body:
            steps = body.pop("steps")
            if body:
                raise ValueError("give steps or options, not both")
        if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
            raise ValueError("steps must be a list of objects, with at least one")
        if any(step.get("times", 1) is None for step in steps[:-1]):
            raise ValueError('only the last of the steps may have "times": null')
        # An emulator that runs as a process outlives the test that scripts it.
        self._world.script(module, [Script(**{"times": 1, **step}) for step in steps])

    def _create_execution(self, body: Body) -> Any:
        module, inputs, config = body.pop("module"), body.pop("input", {}), body.pop("config", {})
        script = Script(**body) if body else None
        return self._world.create_execution(module, inputs, config, script).record()

    def _move_execution(self, body: Body, execution_id: str, action: str) -> Any:
        execution = self._world.execution(execution_id)
        _move(execution, action, body)
        return execution.record()

    def _script_workflow(self, body: Body) -> None:
        self._world.script_workflow(body["workflow"], body["stages"], body.get("ending"), body.get("reason"))

    def _cancel_run(self, body: Body, run_id: str) -> Any:
        run = self._world.run(run_id)
        run.cancel(body.get("reason"))
        return run.record()

    def _move_stage(self, body: Body, run_id: str, stage: str, action: str) -> Any:
        _move(self._world.stage(run_id, stage), action, body)
        return self._world.run(run_id).record()

    def _send_raw(self, body: Body, identity: str) -> Any:
        topic = self._world.topic(identity)
        topic.send_raw(body["data"].encode())
        return {"streams": len(topic)}

    def _close_streams(self, _body: Body, identity: str) -> Any:
        topic = self._world.topic(identity)
        topic.close()
        return {"streams": len(topic)}

    def _change_stream_options(self, body: Body, identity: str) -> None:
        self._world.change_stream_options(identity, body)

    def _add_fault(self, body: Body) -> Any:
        matching = {name: body.pop(name) for name in _FAULT_OPTIONS if name in body}
        name = body.pop("effect")
        if name not in EFFECTS:
            raise ValueError(f"effect must be one of {', '.join(EFFECTS)}")
        self._world.check_module(matching.get("module"))
        return {"id": self._faults.add(Fault(EFFECTS[name](**body), **matching))}

    def _release_fault(self, _body: Body, position: str) -> Any:
        fault = self._faults.at(position)
        fault.release()
        return {"hits": fault.hits}


def _route(method: str, path: str, handler: Handler) -> Route:
    async def endpoint(request: Request) -> Response:
        body = {} if request.scope["json"] is None else request.scope["json"]
        if not isinstance(body, dict):
            raise ApiError(422, "VALIDATION_ERROR", "The body must be a JSON object.")
        try:
            result = handler(body, **request.path_params)
            if isinstance(result, Awaitable):
                result = await result
            return result if isinstance(result, Response) else JsonResponse({} if result is None else result)
        except KeyError as error:
            raise ApiError(422, "VALIDATION_ERROR", f"{error.args[0]} is required") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ApiError(422, "VALIDATION_ERROR", str(error)) from error

    return Route(f"/_emulator/{path}", endpoint, methods=[method])


def _move(task: Task, action: str, body: Body) -> None:
    """Start, complete or fail an execution or a stage of a workflow run."""
    if action == "start":
        task.start()
    elif action == "complete":
        task.complete(body.get("output", DEFAULT), body.get("usage"))
    elif action == "fail":
        task.fail(body["error"], body.get("usage"))
    else:
        raise not_found("action", action)
