"""What the triggers share: follow until the end, and yield exactly one event."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Generator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.ending.verdict import ERROR, TIMEOUT
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError, WhiteRabbitError, WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
    from airflow_provider_whiterabbit.client.wait.commands import Command, Followed, Snapshot

GRACE = timedelta(minutes=2)
"""By which Airflow's own time-out of a deferral lies behind the trigger's, which ends with a message of ours."""

CONNECTION_PATIENCE = 120.0
"""Seconds for which a connection is asked for again: Airflow reports an API server that is away as a missing one."""

_TRANSPORT = "airflow_provider_whiterabbit.client.transport.aio"
_OF_THE_END = ("end_from_trigger", "soft_fail", "retries")


class WhiteRabbitTrigger(BaseTrigger):
    """Waits for something at White Rabbit to end.

    It carries no output in its event: Airflow logs events whole, and moves them slowly; whoever resumes reads the
    record. The same trigger may run twice at once (after a triggerer was believed dead): it only reads.

    :param identity: id of what is followed.
    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``.
    :param poll_interval: seconds, 1 or more, between two reads of the record while there is no stream.
    :param deadline: when to give up; an aware wall-clock time, since a trigger outlives processes.
    :param timeout: seconds from the task's start after which to give up; for a task that starts in the triggerer, where
        Airflow tells when (`timeout_after`, which must be `GRACE` behind). Elsewhere they count from this trigger's
        start: use `deadline`. The earlier of the two counts.
    :param end_from_trigger: end the task here, without a worker, if that loses nothing (Airflow 3.3.1+).
    :param soft_fail: the task is to be skipped instead of failed.
    :param retries: how often Airflow may try the task again. If it may, a failure is left to a worker, which alone can
        end a task without retries.
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
        end_from_trigger: bool = False,
        soft_fail: bool = False,
        retries: int = 0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        setattr(self, self.id_name, identity)
        self.whiterabbit_conn_id = whiterabbit_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.timeout = timeout
        self.end_from_trigger = end_from_trigger
        self.soft_fail = soft_fail
        self.retries = retries

    @staticmethod
    @abstractmethod
    def followed(identity: str) -> Followed[Any]:
        """Describe what is followed; imports of the client belong in here."""

    @property
    def _identity(self) -> str:
        return str(getattr(self, self.id_name))

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the arguments to make this trigger again."""
        names = [self.id_name, "whiterabbit_conn_id", "poll_interval", "deadline", "timeout"]
        names += _OF_THE_END if self.end_from_trigger else ()
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render what a task that starts in the triggerer has as templates."""
        ti = _PullingOne(context["ti"])
        patched: Any = {**context, "ti": ti, "task_instance": ti}
        super().render_template_fields(patched, jinja_env)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow until the end; yield one event."""
        try:
            if not hasattr(sys.modules.get(_TRANSPORT), "AsyncClient"):  # it may be there, half imported
                # Some 300 ms of imports, once in the life of a triggerer: too long for its event loop.
                await asyncio.to_thread(importlib.import_module, _TRANSPORT)
            async with await self._connect() as client:
                try:
                    status, message = str((await client.run(self._steps())).status), None
                except WhiteRabbitTimeoutError as error:
                    status, message = TIMEOUT, str(error)
                event = await self._task_end(client, status, message)
        except WhiteRabbitError as error:
            event, status, message = None, ERROR, str(error)
        except Exception as error:
            self.log.exception("Waiting for %s failed", self._identity)
            event, status, message = None, ERROR, f"{type(error).__name__}: {error}"
        verdict = {self.id_name: self._identity, "status": status, "message": message}
        yield event or TriggerEvent(verdict)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Say that what was waited for goes on: White Rabbit has no call to cancel it (Airflow 3.3+ calls this)."""
        self.log.warning("%s goes on at White Rabbit: it can't be cancelled from here", self._identity)

    async def _connect(self) -> AsyncClient:
        """Read the connection, for a while again and again, and return its client."""
        from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay
        from tenacity.wait import wait_random_exponential

        def may_pass(error: BaseException) -> bool:
            return isinstance(error, Exception) and not isinstance(error, WhiteRabbitConfigError | PermissionError)

        def warn(state: RetryCallState) -> None:
            if state.attempt_number == 1 and state.outcome:
                self.log.warning("No connection yet, trying again: %s", state.outcome.exception())

        deadline = self._deadline()
        patience = CONNECTION_PATIENCE if deadline is None else min(CONNECTION_PATIENCE, deadline - time.time())
        reading = AsyncRetrying(
            retry=retry_if_exception(may_pass),
            wait=wait_random_exponential(multiplier=0.5, max=10),
            stop=stop_after_delay(patience),
            before_sleep=warn,
            reraise=True,
        )
        return await reading(WhiteRabbitHook(self.whiterabbit_conn_id).get_async_client)

    def _steps(self) -> Generator[Command, Any, Snapshot]:
        from airflow_provider_whiterabbit.client.wait.follower import follow

        return follow(self.followed(self._identity), deadline=self._deadline(), poll_interval=self.poll_interval)

    async def _task_end(self, client: AsyncClient, status: str, message: str | None) -> TriggerEvent | None:
        """Return the event that ends the task here, or None if a worker is to resume it."""
        if not self.end_from_trigger or self.task_instance is None:  # dag.test() tells a trigger nothing of its task
            return None
        from airflow_provider_whiterabbit.ending.in_triggerer import end_of_task

        return await end_of_task(self, client, status, message)

    def _deadline(self) -> float | None:
        moments = [] if self.deadline is None else [self.deadline.timestamp()]
        if self.timeout is not None:
            told: datetime | None = getattr(self, "timeout_after", None)
            started = time.time() if told is None else (told - GRACE).timestamp() - self.timeout
            moments.append(started + self.timeout)
        return min(moments, default=None)


class _PullingOne:
    """A task instance whose `xcom_pull` asks for one value where nothing else is said.

    Without map indexes Airflow 3.3 sends a request that the triggerer's supervisor does not know, and waits for ever.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ti, name)

    def xcom_pull(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("map_indexes", None)
        return self._ti.xcom_pull(*args, **kwargs)
