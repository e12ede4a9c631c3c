"""The endpoints of White Rabbit's API: one function per endpoint validates its arguments and returns a `Request`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.wire.canonical import to_json
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

NIL_UUID = "00000000-0000-0000-0000-000000000000"

_WORKFLOWS = "/v1/sdk/workflows"
_RUNS = f"{_WORKFLOWS}/executions"
_COMPONENTS = "/v1/sdk/components"
_EXECUTIONS = f"{_COMPONENTS}/executions"


def execute_component(
    module: str,
    input: Mapping[str, Any] | None = None,  # noqa: A002 (White Rabbit's word)
    config: Mapping[str, Any] | None = None,
    *,
    attempts: int | None = None,
    inline_wait: float | timedelta | None = None,
    callback_url: str | None = None,
    callback_secret: str | None = None,
    callback_headers: Mapping[str, str] | None = None,
) -> Request:
    """Return the HTTP request that executes a component (White Rabbit's API reference, *Execute Component*).

    :param module: module name, as ``RANDOM_UUID``.
    :param attempts: server-side attempts on failure, 1 to 3.
    :param inline_wait: seconds or `timedelta`, 0 to 15, that the server may wait for the result.
    :param callback_url: HTTPS URL that gets the finished record (plain HTTP only on this machine).
    :param callback_secret: HMAC-SHA256 key for that delivery.
    :param callback_headers: extra headers for that delivery.
    :raises WhiteRabbitInputError: if an argument is out of range or not JSON. The message names it.
    """
    body: dict[str, Any] = {
        "module": checks.module(module),
        "input": checks.json_object(input, "input"),
        "config": checks.json_object(config, "config"),
    }
    if attempts is not None:
        body["attempts"] = checks.attempts(attempts)
    wait = checks.seconds(0 if inline_wait is None else inline_wait, "inline_wait", checks.MAX_INLINE_WAIT)
    if wait:
        body["waitForMs"] = round(wait * 1000)
    if callback_url is not None:
        body["callbackUrl"] = checks.callback_url(callback_url)
        if callback_secret is not None:
            body["callbackSecret"] = checks.text(callback_secret, "callback_secret")
        if callback_headers is not None:
            body["callbackHeaders"] = checks.headers(callback_headers, "callback_headers", WhiteRabbitInputError)
    elif callback_secret is not None or callback_headers is not None:
        raise WhiteRabbitInputError("callback_secret and callback_headers need a callback_url")
    return Request("POST", _COMPONENTS, to_json(body), server_wait=wait)


def get_execution(execution_id: str) -> Request:
    """Return the HTTP request that reads the record of an execution.

    :raises WhiteRabbitInputError: if the id is empty or not safe in a path.
    """
    return Request("GET", f"{_EXECUTIONS}/{checks.identifier(execution_id, 'execution_id')}", idempotent=True)


def stream_execution(execution_id: str) -> Request:
    """Return the HTTP request that opens the event stream of an execution."""
    return Request("GET", f"{get_execution(execution_id).path}/stream", idempotent=True)


def redeliver_callback(execution_id: str) -> Request:
    """Return the HTTP request for White Rabbit to deliver an execution's callback again (idempotent, says the API)."""
    return Request("POST", f"{get_execution(execution_id).path}/replay-callback", b"{}", idempotent=True)


def trigger_workflow(workflow_id: str) -> Request:
    """Return the HTTP request that starts a workflow (White Rabbit's API reference, *Workflow Executions*).

    :raises WhiteRabbitInputError: if the id is empty or not safe in a path.
    """
    return Request("POST", f"{_WORKFLOWS}/{checks.identifier(workflow_id, 'workflow_id')}", b"{}")


def get_workflow_run(workflow_run_id: str) -> Request:
    """Return the HTTP request that reads the record of a workflow run."""
    return Request("GET", f"{_RUNS}/{checks.identifier(workflow_run_id, 'workflow_run_id')}", idempotent=True)


def stream_workflow_run(workflow_run_id: str) -> Request:
    """Return the HTTP request that opens the event stream of a workflow run."""
    return Request("GET", f"{get_workflow_run(workflow_run_id).path}/stream", idempotent=True)


def update_component(
    workflow_id: str,
    component_id: str,
    *,
    config: Mapping[str, Any] | None = None,
    name: str | None = None,
    position: Sequence[float] | None = None,
) -> Request:
    """Return the HTTP request that changes the config, name or position of a component in a workflow.

    :param position: x and y.
    :raises WhiteRabbitInputError: if there is nothing to change, or an argument is wrong.
    """
    body: dict[str, Any] = {}
    if config is not None:
        body["config"] = checks.json_object(config, "config")
    if name is not None:
        body["name"] = checks.text(name, "name")
    if position is not None:
        body["position"] = checks.position(position)
    if not body:
        raise WhiteRabbitInputError("nothing to change: give config, name or position")
    workflow = checks.identifier(workflow_id, "workflow_id")
    component = checks.identifier(component_id, "component_id")
    # White Rabbit merges it into what is there, so that sending it twice changes nothing more.
    return Request("POST", f"{_WORKFLOWS}/{workflow}/components/{component}", to_json(body), idempotent=True)


def get_components() -> Request:
    """Return the HTTP request that reads White Rabbit's catalogue of components."""
    return Request("GET", "/v1/system/components", idempotent=True)
