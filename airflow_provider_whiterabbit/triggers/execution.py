"""`WhiteRabbitExecutionTrigger`: follows an execution on its event stream, inside the triggerer."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.verdict import ERROR, TIMEOUT


class WhiteRabbitExecutionTrigger(BaseTrigger):
    """Waits for an execution to end, and yields exactly one event.

    The event is ``{"execution_id": …, "status": …, "message": …}``. The status is ``COMPLETED`` or ``FAILED`` with a
    null message, or ``TIMEOUT`` or ``ERROR`` with one that says why. It carries no output: Airflow logs events whole,
    and moves them slowly; whoever resumes reads the record. The same trigger may run twice at once (after a triggerer
    was believed dead): it only reads.

    :param execution_id: id of the execution.
    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``.
    :param poll_interval: seconds between two reads of the record while there is no stream.
    :param deadline: when to give up; an aware wall-clock time, since a trigger outlives processes.
    :param timeout: seconds from the task's start after which to give up, where the triggerer knows it (Airflow 3.3 does
        not tell a trigger that a worker deferred: there they count from this trigger's start; use `deadline`). The
        earlier of the two counts.
    """

    def __init__(
        self,
        execution_id: str,
        whiterabbit_conn_id: str = "whiterabbit_default",
        poll_interval: float = POLL_INTERVAL,
        deadline: datetime | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.execution_id = execution_id
        self.whiterabbit_conn_id = whiterabbit_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.timeout = timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the arguments to make this trigger again."""
        return (
            "airflow_provider_whiterabbit.triggers.execution.WhiteRabbitExecutionTrigger",
            {
                "execution_id": self.execution_id,
                "whiterabbit_conn_id": self.whiterabbit_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "timeout": self.timeout,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the execution; yield one event."""
        try:
            status, message = await self._follow(), None
        except WhiteRabbitTimeoutError as error:
            status, message = TIMEOUT, str(error)
        except WhiteRabbitError as error:
            status, message = ERROR, str(error)
        except Exception as error:
            self.log.exception("Waiting for execution %s failed", self.execution_id)
            status, message = ERROR, f"{type(error).__name__}: {error}"
        event = {"execution_id": self.execution_id, "status": status, "message": message}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Say that the execution goes on: White Rabbit has no call that cancels one (Airflow 3.3+ calls this)."""
        self.log.warning("Execution %s goes on at White Rabbit: it can't be cancelled from here", self.execution_id)

    async def _follow(self) -> str:
        # Some 300 ms of imports, once in the life of a triggerer: too long for its event loop.
        await asyncio.to_thread(importlib.import_module, "airflow_provider_whiterabbit.client.aio")
        from airflow_provider_whiterabbit.client.base import followed_execution
        from airflow_provider_whiterabbit.client.follow import follow

        followed = followed_execution(self.execution_id)
        async with await WhiteRabbitHook(self.whiterabbit_conn_id).get_async_client() as client:
            steps = follow(followed, deadline=self._deadline(), poll_interval=self.poll_interval)
            return str((await client.run(steps)).status)

    def _deadline(self) -> float | None:
        given = [] if self.deadline is None else [self.deadline]
        if self.timeout is not None:
            started = getattr(self.task_instance, "start_date", None) or datetime.now().astimezone()
            given.append(started + timedelta(seconds=self.timeout))
        return min(moment.timestamp() for moment in given) if given else None
