"""Tells whether the code of a task may have run before in the same try, in another process."""

from __future__ import annotations

from typing import Any

from airflow_provider_whiterabbit.compat import AIRFLOW_V_3_0_PLUS


def may_have_run(ti: Any, task: Any) -> bool:
    """Return whether the code of a task may have run before in this try.

    That is so after a deferral, and if the task was rescheduled: a sensor in mode ``reschedule``, whose pokes are not
    told apart here, or code that raises Airflow's `AirflowRescheduleException`. Since 3.1.7, Airflow also reschedules a
    task whose DAG a worker can't load, so code that has not run yet counts as well.

    :param ti: Airflow's task instance.
    :param task: its operator, whose code may execute another one.
    """
    from_server = getattr(ti, "_ti_context_from_server", None)  # Airflow 3
    if getattr(task, "reschedule", False) or getattr(from_server or ti, "next_method", None):
        return True
    # This provider's own operators never reschedule a task.
    return not hasattr(task, "waits_for") and _was_rescheduled(ti, from_server)


def _was_rescheduled(ti: Any, from_server: Any) -> bool:
    if AIRFLOW_V_3_0_PLUS:
        return bool(getattr(from_server, "task_reschedule_count", 0))
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.utils.session import create_session

    if not isinstance(ti, TaskInstance):
        return False
    with create_session() as session:
        return session.scalar(TaskReschedule.stmt_for_task_instance(ti)) is not None
