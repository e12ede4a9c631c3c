"""What keeps a task from starting or ending in the triggerer, where Airflow does less than in a worker.

The way through the triggerer alone is the fastest, and holds neither a worker nor a slot of a pool. But it runs no
success or skip callback, emits no asset event, and more; a task that needs one of those goes through a worker for that
part instead of losing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import conf

SINCE = (3, 3, 1)
"""Airflow before it lacks the feature, or ignores retries on that way."""

LARGEST_XCOM = 1024 * 1024
"""Bytes of a record up to which its result is stored by the trigger: more would keep the event loop for too long."""


def option(name: str, given: bool | None) -> bool:
    """Return what was asked for, or what ``[whiterabbit]`` says for the whole deployment."""
    return conf.getboolean("whiterabbit", name, fallback=False) if given is None else given


def of_version() -> Iterator[str]:
    """Yield a reason if this Airflow is too old for the triggerer's way."""
    numbers = tuple(int(part) for part in airflow_version.split(".")[:3] if part.isdigit())
    if numbers < SINCE:
        yield f"Airflow {airflow_version} is older than {'.'.join(map(str, SINCE))}"


def of_start(task: Any, identity: Any) -> Iterator[str]:
    """Yield why a task can't start in the triggerer.

    :param identity: as the DAG gives it.
    """
    yield from of_version()
    if not isinstance(identity, str) and type(identity).__name__ != "PlainXComArg":
        yield f"its id is a {type(identity).__name__}, which no template stands for"
    if task.execution_timeout is not None:
        yield "it has an execution_timeout, which the triggerer does not tell apart"
    if getattr(task, "on_execute_callback", None):
        yield "it has an on_execute_callback"
    if getattr(task, "_pre_execute_hook", None):
        yield "it has a pre_execute hook"
    yield from _of_own_code(task, "pre_execute", "execute")


def start_of(task: Any, identity: Any) -> Any:
    """Return Airflow's `StartTriggerArgs` for a sensor."""
    from airflow.triggers.base import StartTriggerArgs

    from airflow_provider_whiterabbit.triggers.base import GRACE

    trigger = task.trigger_class
    return StartTriggerArgs(
        trigger_cls=f"{trigger.__module__}.{trigger.__qualname__}",
        trigger_kwargs={
            # A raw XComArg would arrive as a reference that nobody resolves; its text is the template that pulls it.
            trigger.id_name: str(identity),
            "whiterabbit_conn_id": task.whiterabbit_conn_id,
            "poll_interval": task.poke_interval,
            # A deadline would change the serialized DAG at every parse.
            "timeout": task.timeout,
            "end_from_trigger": task.ends_in_triggerer and next(of_class(task), None) is None,
            "soft_fail": task.soft_fail or task.never_fail,
            "retries": task.retries,
        },
        next_method="execute_complete",
        timeout=timedelta(seconds=task.timeout) + GRACE,
    )


def of_end(task: Any) -> Iterator[str]:
    """Yield why a task can't end in the triggerer.

    :param task: an operator, or a serialized one.
    """
    yield from of_version()
    for name in ("on_success_callback", "on_skipped_callback"):
        if getattr(task, f"has_{name}", False) or getattr(task, name, None):
            yield f"it has an {name}"
    if getattr(task, "outlets", None):
        yield "it has outlets"
    if not getattr(task, "do_xcom_push", True):
        yield "do_xcom_push is False"
    if getattr(task, "multiple_outputs", False):
        yield "it has multiple_outputs"
    if next(iter(task.iter_mapped_dependants()), None) is not None:
        yield "a mapped task depends on its output"


def of_class(task: Any) -> Iterator[str]:
    """Yield why a task can't end in the triggerer that only the DAG file tells: a serialized task does not.

    :param task: an operator.
    """
    if getattr(task, "_post_execute_hook", None):
        yield "it has a post_execute hook"
    yield from _of_own_code(task, "execute_complete", "resume_execution", "post_execute")


def _of_own_code(task: Any, *methods: str) -> Iterator[str]:
    """Yield the methods that are neither Airflow's nor this provider's."""
    from airflow.providers.common.compat.sdk import BaseOperator

    for name in methods:
        owner = next(kind for kind in type(task).__mro__ if name in vars(kind))
        if owner is not BaseOperator and owner.__module__.partition(".")[0] != __package__:
            yield f"{type(task).__name__} has {'an' if name.startswith('e') else 'a'} {name} of its own"


def of_deployment() -> Iterator[str]:
    """Yield why no task can end in the triggerer here. To be asked in a worker or a triggerer."""
    from airflow.providers.common.compat.sdk import XCom, get_listener_manager
    from airflow.sdk.bases.xcom import BaseXCom

    if get_listener_manager().has_listeners:
        yield "a listener is installed, which would not hear of it"
    if XCom is not BaseXCom:
        yield "a custom XCom backend is configured"
