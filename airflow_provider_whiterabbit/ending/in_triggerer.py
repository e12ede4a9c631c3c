"""Ending a task in the triggerer: what a worker does after a wait, done by the trigger (Airflow 3.3.1+)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_whiterabbit.ending import obstacles as triggerer_path
from airflow_provider_whiterabbit.ending.verdict import USAGE_KEY
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError
from airflow_provider_whiterabbit.links import LINK_KEY

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
    from airflow_provider_whiterabbit.triggers.base import WhiteRabbitTrigger


async def end_of_task(
    trigger: WhiteRabbitTrigger, client: AsyncClient, status: str, message: str | None
) -> TriggerEvent | None:
    """Do what ends the task, and return the event that says so; None, after a line in the log, if a worker has to.

    :param message: of a status of our own; null for White Rabbit's.
    """
    reason = next(_obstacles(trigger), None)
    if reason is None and status != "COMPLETED" and trigger.retries and not trigger.soft_fail:
        reason = "only a worker can fail a task that has retries without them"
    if reason is None:
        try:
            return await _end(trigger, client, message)
        except WhiteRabbitError as error:
            reason = str(error)
    trigger.log.info("A worker ends the task: %s", reason)
    return None


def _obstacles(trigger: WhiteRabbitTrigger) -> Iterator[str]:
    yield from triggerer_path.of_version()
    yield from triggerer_path.of_deployment()
    if trigger.task is not None:  # only of a task that started here; otherwise the worker that deferred it has asked
        yield from triggerer_path.of_end(trigger.task)


async def _end(trigger: WhiteRabbitTrigger, client: AsyncClient, message: str | None) -> TriggerEvent:
    from airflow.providers.common.compat.sdk import XCOM_RETURN_KEY
    from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent

    if message is None:
        followed = trigger.followed(getattr(trigger, trigger.id_name))
        record = followed.record_of(await client.send(followed.record, most=triggerer_path.LARGEST_XCOM))
        xcoms = {LINK_KEY: _link(trigger, client), USAGE_KEY: record.total_usage}
        if record.status == "COMPLETED":
            xcoms[XCOM_RETURN_KEY] = record.result
        try:
            await _push(trigger.task_instance, xcoms)
        except Exception as error:  # whatever Airflow makes of an API server that is away; a worker tries again
            raise WhiteRabbitError(f"its XComs could not be stored here ({error})") from error
        if record.status == "COMPLETED":
            trigger.log.info("Ended in the triggerer: success")
            return TaskSuccessEvent()
        message = record.failure
    if trigger.soft_fail:
        trigger.log.info("Skipping because the task is not to fail: %s", message)
        return TaskSkippedEvent()
    trigger.log.error("%s", message)
    return TaskFailedEvent()


def _link(trigger: WhiteRabbitTrigger, client: AsyncClient) -> str | None:
    """Return the link that is to be stored: a worker that deferred the task has done that before."""
    if trigger.task is None:
        return None
    return client.settings.link_to(trigger.id_name, getattr(trigger, trigger.id_name))


async def _push(ti: Any, xcoms: Mapping[str, Any]) -> None:
    """Store XComs, but for those that are null, as a worker does.

    The event could carry them, but Airflow 3.3 would hand on strings instead of objects. All are sent at once: each of
    them queues for the triggerer's other process, which takes one after the other from all triggers. What is sent
    arrives before the event does, so that no XCom of a trigger comes after those of a worker that ends the task.
    """
    from airflow.providers.common.compat.sdk import XCom

    map_index = -1 if ti.map_index is None else ti.map_index
    where = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": map_index}
    await asyncio.gather(*(XCom.aset(key, value, **where) for key, value in xcoms.items() if value is not None))
