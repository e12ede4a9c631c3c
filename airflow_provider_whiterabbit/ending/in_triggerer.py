"""Ends a task in the triggerer: the trigger does what otherwise a worker does after the wait (Airflow 3.3.1+).

The trigger ends a task only with a success or a skip. Every failure is left to a worker, which reads the record with
patience, keeps or drops the task's retries, and gives callbacks the exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.wait.target import Target
from airflow_provider_whiterabbit.ending.obstacles import deployment_obstacles, task_obstacles, version_obstacles
from airflow_provider_whiterabbit.ending.storable import check_storable
from airflow_provider_whiterabbit.ending.verdict import USAGE_KEY
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError
from airflow_provider_whiterabbit.links import LINK_KEY
from airflow_provider_whiterabbit.masking import failure_of
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.tasks import TaskMetrics

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient

MAX_RECORD_BYTES = 1024 * 1024
"""Largest record, in bytes, that a trigger stores as XCom; a larger record would block the event loop for too long."""


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A waiting Airflow task that its trigger may end, without a worker.

    :param target: what the task waited for; `target_id` is its id.
    :param task_instance: Airflow's task instance.
    :param serialized_task: the operator as Airflow serialized it, of a task that started in the triggerer. None if a
        worker deferred the task, which then has checked `task_obstacles` and stored the link.
    :param soft_fail: the task is skipped instead of failed.
    :param metrics: reports the end of the task, if the trigger ends it.
    :param log: the trigger's logger.
    """

    target: Target[Any]
    target_id: str
    task_instance: Any
    serialized_task: Any | None
    soft_fail: bool
    metrics: TaskMetrics
    log: Any


async def end_task(
    task: WaitingTask, client: AsyncClient, status: str, *, succeeded: bool, timeout_message: str | None = None
) -> TriggerEvent | None:
    """Store a task's XComs and return the event that ends the task; None if a worker must end the task (see the log).

    :param status: the status with which the wait ended.
    :param succeeded: whether that status is COMPLETED.
    :param timeout_message: set if the deadline passed first.
    """
    try:
        obstacle = next(_obstacles(task, succeeded), None)
        if obstacle is None:
            return await _end(task, client, status, succeeded, timeout_message)
    except Exception as error:  # Airflow's errors differ from version to version; a worker tries again
        obstacle = clean(f"{type(error).__name__}: {error}")
    task.log.info("A worker ends the task: %s", obstacle)
    return None


def _obstacles(task: WaitingTask, succeeded: bool) -> Iterator[str]:
    yield from version_obstacles()
    yield from deployment_obstacles()
    if task.serialized_task is not None:
        yield from task_obstacles(task.serialized_task)
    if not succeeded and not task.soft_fail:
        yield "only a worker can fail the task and give its callbacks the exception"


async def _end(
    task: WaitingTask, client: AsyncClient, status: str, succeeded: bool, timeout_message: str | None
) -> TriggerEvent:
    from airflow.triggers.base import TaskSkippedEvent, TaskSuccessEvent

    from airflow_provider_whiterabbit.compat import XCOM_RETURN_KEY

    failure = timeout_message
    if failure is not None:
        task.metrics.count(Metric.TIMEOUTS)
    else:
        record = await client.read_once(task.target.followed(task.target_id), max_bytes=MAX_RECORD_BYTES)
        if not record.is_terminal or record.succeeded is not succeeded:
            raise WhiteRabbitError(f"the wait ended with {status}, but the record read next says {record.status}")
        xcoms = {LINK_KEY: _link(task, client), USAGE_KEY: record.total_usage}
        if succeeded:
            check_storable(record.result, task.target, task.target_id)
            xcoms[XCOM_RETURN_KEY] = record.result
        await _push_xcoms(task.task_instance, xcoms)
        task.metrics.ended(record)  # nothing below can fail, so no worker counts this end too
        if succeeded:
            task.log.info("The task ended in the triggerer: success")
            return TaskSuccessEvent()
        failure = failure_of(record)
    task.log.info("Skipping the task because soft_fail or never_fail is set: %s", failure)
    return TaskSkippedEvent()


def _link(task: WaitingTask, client: AsyncClient) -> str | None:
    """Return the dashboard link to store as XCom; None if there is no link or a worker has stored the link already."""
    return None if task.serialized_task is None else client.settings.link_to(task.target, task.target_id)


async def _push_xcoms(task_instance: Any, xcoms: Mapping[str, Any]) -> None:
    """Store a task's XComs from the triggerer as a worker would, except for XComs whose value is None.

    The event could carry them, but Airflow 3.3 would store strings instead of objects. All XComs are sent at once,
    because each waits in the queue of the triggerer's supervisor behind those of all other triggers. They arrive before
    the event does, so no XCom of the trigger overwrites one of a worker that ends the task.
    """
    from airflow_provider_whiterabbit.compat import XCom

    ti = task_instance
    map_index = -1 if ti.map_index is None else ti.map_index
    where = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": map_index}
    await asyncio.gather(*(XCom.aset(key, value, **where) for key, value in xcoms.items() if value is not None))
