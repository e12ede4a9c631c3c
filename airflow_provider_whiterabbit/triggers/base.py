"""What the triggers share: follow until the end, and yield exactly one event."""

from __future__ import annotations

import asyncio
import importlib
from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.verdict import ERROR, TIMEOUT

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.commands import Followed


class WhiteRabbitTrigger(BaseTrigger):
    """Waits for something at White Rabbit to end.

    It carries no output in its event: Airflow logs events whole, and moves them slowly; whoever resumes reads the
    record. The same trigger may run twice at once (after a triggerer was believed dead): it only reads.

    :param identity: id of what is followed.
    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``.
    :param poll_interval: seconds, 1 or more, between two reads of the record while there is no stream.
    :param deadline: when to give up; an aware wall-clock time, since a trigger outlives processes.
    :param timeout: seconds from the task's start after which to give up, where the triggerer knows it (Airflow 3.3 does
        not tell a trigger that a worker deferred: there they count from this trigger's start; use `deadline`). The
        earlier of the two counts.
    """

    id_name: ClassVar[str]
    """What the id is called, in the arguments and in the event."""

    def __init__(
        self,
        identity: str,
        whiterabbit_conn_id: str = WhiteRabbitHook.default_conn_name,
        poll_interval: float = POLL_INTERVAL,
        deadline: datetime | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        setattr(self, self.id_name, identity)
        self.whiterabbit_conn_id = whiterabbit_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.timeout = timeout

    @staticmethod
    @abstractmethod
    def followed(identity: str) -> Followed[Any]:
        """Describe what is followed; imports of the client belong in here."""

    @property
    def _identity(self) -> str:
        return str(getattr(self, self.id_name))

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the arguments to make this trigger again."""
        names = (self.id_name, "whiterabbit_conn_id", "poll_interval", "deadline", "timeout")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow until the end; yield one event."""
        try:
            status, message = await self._follow(), None
        except WhiteRabbitTimeoutError as error:
            status, message = TIMEOUT, str(error)
        except WhiteRabbitError as error:
            status, message = ERROR, str(error)
        except Exception as error:
            self.log.exception("Waiting for %s failed", self._identity)
            status, message = ERROR, f"{type(error).__name__}: {error}"
        event = {self.id_name: self._identity, "status": status, "message": message}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Say that what was waited for goes on: White Rabbit has no call to cancel it (Airflow 3.3+ calls this)."""
        self.log.warning("%s goes on at White Rabbit: it can't be cancelled from here", self._identity)

    async def _follow(self) -> str:
        # Some 300 ms of imports, once in the life of a triggerer: too long for its event loop.
        await asyncio.to_thread(importlib.import_module, "airflow_provider_whiterabbit.client.aio")
        from airflow_provider_whiterabbit.client.follow import follow

        followed = self.followed(self._identity)
        async with await WhiteRabbitHook(self.whiterabbit_conn_id).get_async_client() as client:
            steps = follow(followed, deadline=self._deadline(), poll_interval=self.poll_interval)
            return str((await client.run(steps)).status)

    def _deadline(self) -> float | None:
        given = [] if self.deadline is None else [self.deadline]
        if self.timeout is not None:
            started = getattr(self.task_instance, "start_date", None) or datetime.now().astimezone()
            given.append(started + timedelta(seconds=self.timeout))
        return min(moment.timestamp() for moment in given) if given else None
