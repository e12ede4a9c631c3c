"""Reasons why a worker must end a task, although the task's trigger could end the task in the triggerer.

A trigger ends a task fastest, and holds neither a worker nor a pool slot. But Airflow runs no success or skip callback
there, emits no asset event, and more. A task that needs one of those is ended by a worker instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow import __version__ as airflow_version

SINCE = (3, 3, 1)
"""Oldest version of Airflow that can start and end a task in the triggerer without ignoring the task's retries."""


def version_obstacles(version: str = airflow_version) -> Iterator[str]:
    """Yield a reason if Airflow is too old to start or end tasks in the triggerer.

    :param version: Airflow's version.
    """
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < SINCE:
        yield f"Airflow {version} is older than {'.'.join(map(str, SINCE))}"


def task_obstacles(task: Any) -> Iterator[str]:
    """Yield each reason why a task would lose something if the triggerer, not a worker, ended the task.

    :param task: an operator, or a serialized one.
    """
    yield from version_obstacles()
    for callback in ("on_success_callback", "on_skipped_callback"):
        if getattr(task, f"has_{callback}", False) or getattr(task, callback, None):
            yield f"it has an {callback}"
    if getattr(task, "outlets", None):
        yield "it has outlets"
    if not getattr(task, "do_xcom_push", True):
        yield "do_xcom_push is False"
    if getattr(task, "multiple_outputs", False):
        yield "it has multiple_outputs"
    if next(iter(task.iter_mapped_dependants()), None) is not None:
        yield "a mapped task depends on its output"


def code_obstacles(task: Any) -> Iterator[str]:
    """Yield each user-defined hook or method that would be skipped if the triggerer, not a worker, ended the task.

    :param task: an operator.
    """
    if getattr(task, "_post_execute_hook", None):
        yield "it has a post_execute hook"
    yield from overridden_methods(task, "execute_complete", "resume_execution", "post_execute")


def overridden_methods(task: Any, *methods: str) -> Iterator[str]:
    """Yield a reason for each of the named methods that a user's own class overrides."""
    from airflow_provider_whiterabbit.compat import BaseOperator

    ours = __package__.partition(".")[0]
    for method in methods:
        owner = next(cls for cls in type(task).__mro__ if method in vars(cls))
        if owner is not BaseOperator and owner.__module__.partition(".")[0] != ours:
            yield f"{type(task).__name__} has {'an' if method.startswith('e') else 'a'} {method} of its own"


def deployment_obstacles() -> Iterator[str]:
    """Yield why this Airflow deployment can't end any task in the triggerer; for calls in a worker or a triggerer."""
    from airflow.sdk.bases.xcom import BaseXCom

    from airflow_provider_whiterabbit.compat import XCom, get_listener_manager

    if get_listener_manager().has_listeners:
        yield "a listener is installed, and the triggerer does not notify listeners"
    if XCom is not BaseXCom:
        yield "a custom XCom backend is configured"
