"""Starts a sensor in the triggerer, without a worker (Airflow 3.3.1+)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.ending.obstacles import code_obstacles, overridden_methods, version_obstacles
from airflow_provider_whiterabbit.triggers.base import GRACE

if TYPE_CHECKING:
    from airflow.triggers.base import StartTriggerArgs


def start_obstacles(sensor: Any, target_id: Any) -> Iterator[str]:
    """Yield each reason why a sensor can't start in the triggerer.

    :param sensor: a sensor of this provider.
    :param target_id: the id as the DAG gives it: a string, a template, or another task's output.
    """
    yield from version_obstacles()
    if not isinstance(target_id, str) and type(target_id).__name__ != "PlainXComArg":
        yield f"its id is a {type(target_id).__name__}, which can't be written as a template"
    if sensor.execution_timeout is not None:
        yield "it has an execution_timeout, which the triggerer does not enforce"
    if getattr(sensor, "on_execute_callback", None):
        yield "it has an on_execute_callback"
    if getattr(sensor, "_pre_execute_hook", None):
        yield "it has a pre_execute hook"
    yield from overridden_methods(sensor, "pre_execute", "execute")


def start_args(sensor: Any, target_id: Any) -> StartTriggerArgs:
    """Return the arguments with which Airflow starts the sensor's trigger.

    :param sensor: a sensor of this provider.
    :param target_id: the id as the DAG gives it.
    """
    from airflow.triggers.base import StartTriggerArgs

    trigger_class = sensor.trigger_class
    return StartTriggerArgs(
        trigger_cls=f"{trigger_class.__module__}.{trigger_class.__qualname__}",
        trigger_kwargs={
            # Airflow does not resolve an XComArg here. Its text is the template that pulls the value.
            sensor.waits_for.id_name: str(target_id),
            "whiterabbit_conn_id": sensor.whiterabbit_conn_id,
            "poll_interval": sensor.poke_interval,
            # A deadline would change the serialized DAG at every parse.
            "timeout": sensor.timeout,
            "end_from_trigger": sensor.ends_in_triggerer and next(code_obstacles(sensor), None) is None,
            "soft_fail": sensor.soft_fail or sensor.never_fail,
        },
        next_method="execute_complete",
        timeout=timedelta(seconds=sensor.timeout) + GRACE,
    )
