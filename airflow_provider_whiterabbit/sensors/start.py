"""Starts a sensor in the triggerer, without a worker (Airflow 3.3.1+)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.deadlines import MAX_WAIT_SECONDS
from airflow_provider_whiterabbit.ending.obstacles import code_obstacles, overridden_methods, version_obstacles
from airflow_provider_whiterabbit.own_fields import is_deferred
from airflow_provider_whiterabbit.triggers.base import GRACE

if TYPE_CHECKING:
    from airflow.triggers.base import StartTriggerArgs


_LOADS = re.compile(r"{%[-+]?\s*(include|import|from|extends)\b")


def starts_in_triggerer(sensor: Any) -> bool:
    """Return whether Airflow starts a sensor in the triggerer: the sensor shall start there, and nothing prevents it.

    :param sensor: a sensor of this provider.
    """
    return sensor._shall_start_in_triggerer and next(start_obstacles(sensor), None) is None


def start_obstacles(sensor: Any) -> Iterator[str]:
    """Yield each reason why a sensor can't start in the triggerer.

    :param sensor: a sensor of this provider.
    """
    yield from version_obstacles()
    if getattr(sensor, "_BaseOperator__from_mapped", False):
        yield "it is a mapped task, and the triggerer does not expand its arguments"
    if next(sensor.iter_mapped_task_groups(), None) is not None:
        yield "it is in a mapped task group, whose XComs a template can't pull in the triggerer"
    for name in ("timeout", "poke_interval"):
        if is_deferred(sensor._unrendered.get(name, getattr(sensor, name, None))):
            yield f"its {name} is a template, which the triggerer does not render"
    given_id = sensor._given_id
    if not isinstance(given_id, str) and type(given_id).__name__ != "PlainXComArg":
        yield f"its id is a {type(given_id).__name__}, which can't be written as a template"
    yield from _jinja_obstacles(sensor.get_dag(), given_id, sensor.whiterabbit_conn_id)
    yield from sensor._secret_obstacles()
    if sensor.execution_timeout is not None:
        yield "it has an execution_timeout, which the triggerer does not enforce"
    if getattr(sensor, "on_execute_callback", None):
        yield "it has an on_execute_callback"
    if getattr(sensor, "_pre_execute_hook", None):
        yield "it has a pre_execute hook"
    yield from overridden_methods(sensor, "pre_execute", "render_template_fields", "execute")


def _jinja_obstacles(dag: Any, *texts: Any) -> Iterator[str]:
    """Yield what templates may need that only the DAG's file has: Airflow serializes no additions to Jinja."""
    from jinja2 import StrictUndefined  # Airflow's default, and not imported where no DAG is parsed

    templates = [text for text in texts if isinstance(text, str) and is_deferred(text)]
    additions = {"jinja_environment_kwargs": getattr(dag, "jinja_environment_kwargs", None)}  # other marks, perhaps
    if templates:
        additions |= {name: getattr(dag, name, None) for name in ("user_defined_macros", "user_defined_filters")}
        additions["template_undefined"] = getattr(dag, "template_undefined", StrictUndefined) is not StrictUndefined
    for name, is_used in additions.items():
        if is_used:
            yield f"its id or connection may be a template, and the triggerer does not know the DAG's {name}"
    if any(map(_LOADS.search, templates)):
        yield "a template includes a file, and the triggerer has none of the DAG's"


def start_args(sensor: Any) -> StartTriggerArgs | None:
    """Return the arguments with which Airflow starts the sensor's trigger; None if the sensor starts in a worker.

    :param sensor: a sensor of this provider.
    """
    if not starts_in_triggerer(sensor):
        return None
    from airflow.triggers.base import StartTriggerArgs

    trigger_class = sensor.trigger_class
    timeout = sensor._timeout_seconds if sensor._timeout_seconds <= MAX_WAIT_SECONDS else None
    return StartTriggerArgs(
        trigger_cls=f"{trigger_class.__module__}.{trigger_class.__qualname__}",
        trigger_kwargs={
            # Airflow does not resolve an XComArg here. Its text is the template that pulls the value.
            sensor.waits_for.id_name: str(sensor._given_id),
            "whiterabbit_conn_id": sensor.whiterabbit_conn_id,
            "poll_interval": sensor._poll_seconds,
            # A deadline would change the serialized DAG at every parse.
            "timeout": timeout,
            "end_from_trigger": sensor.ends_in_triggerer and next(code_obstacles(sensor), None) is None,
            "soft_fail": sensor.soft_fail or sensor.never_fail,
        },
        next_method="execute_complete",
        timeout=None if timeout is None else timedelta(seconds=timeout) + GRACE,
    )
