"""Tells whether the code of a task may have run before in the same try, in another process."""

from __future__ import annotations

from typing import Any

from airflow_provider_whiterabbit.compat import AIRFLOW_V_3_0_PLUS

_PACKAGE = "airflow_provider_whiterabbit."


def may_have_run(ti: Any, task: Any) -> bool:
    """Return whether the code of a task may have run before in this try.

    That is so after a deferral, and if the task was rescheduled: a sensor in mode ``reschedule``, whose pokes are not
    told apart here, or code that raises Airflow's `AirflowRescheduleException`.

    :param ti: Airflow's task instance.
    :param task: its operator, whose code may execute another one.
    """
    from_server = getattr(ti, "_ti_context_from_server", None)  # Airflow 3
    if getattr(task, "reschedule", False) or getattr(from_server or ti, "next_method", None):
        return True
    if AIRFLOW_V_3_0_PLUS:
        return bool(getattr(from_server, "task_reschedule_count", 0))
    return _was_rescheduled(ti)


def _was_rescheduled(ti: Any) -> bool:
    """Return whether Airflow 2 has rescheduled a task in this try."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.utils.session import create_session

    if not isinstance(ti, TaskInstance):
        return False
    with create_session() as session:
        return session.scalar(TaskReschedule.stmt_for_task_instance(ti)) is not None


def is_own(task: Any) -> bool:
    """Return whether a task runs this provider's code alone, which never reschedules it.

    Since 3.1.7, Airflow itself reschedules a task whose DAG a worker can't load. Such a task has not run yet.
    """
    if any(getattr(task, hook, None) for hook in ("_pre_execute_hook", "_post_execute_hook")):
        return False
    if not _is_from(task, "execute", _PACKAGE):
        return False
    return all(_is_from(task, name, _PACKAGE, "airflow.") for name in ("pre_execute", "post_execute"))


def _is_from(task: Any, name: str, *packages: str) -> bool:
    return str(getattr(getattr(type(task), name, None), "__module__", "")).startswith(packages)
