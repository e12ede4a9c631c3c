"""Base class of the triggers: wait until an execution or workflow run has ended, and yield exactly one event."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
import time
import traceback
from collections.abc import AsyncIterator, Coroutine
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.hiding import Withholding
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.wait.target import Target
from airflow_provider_whiterabbit.ending.verdict import ERROR, TIMEOUT
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.observing.background import in_background
from airflow_provider_whiterabbit.observing.stats import server_stats, task_stats
from airflow_provider_whiterabbit.observing.tasks import TaskMetrics
from airflow_provider_whiterabbit.triggers.patience import open_client

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
    from airflow_provider_whiterabbit.client.wait.followed import Snapshot

GRACE = timedelta(minutes=2)
"""How much later than a trigger's deadline Airflow's own timeout for the deferred task fires."""

_MAX_TRACEBACK = 20_000
"""How many characters of the traceback of an unexpected error a trigger logs at most."""

_TRANSPORT = "airflow_provider_whiterabbit.client.transport.aio"
_ENDING_ARGUMENTS = ("end_from_trigger", "soft_fail")


class End(NamedTuple):
    """How what a trigger waits for has ended."""

    status: str
    succeeded: bool


class WhiteRabbitTrigger(BaseTrigger):
    """Waits for an execution or a workflow run to end.

    The event carries no output: Airflow logs events whole and moves them slowly. The worker that resumes reads the
    record. A trigger may run twice at once (after a triggerer was believed dead), so it only reads.

    :param identity: id of the execution or run.
    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``.
    :param poll_interval: seconds between two reads of the record while streaming is refused; less than 1 counts as 1.
    :param deadline: when to give up; an aware wall-clock time, since a trigger outlives processes.
    :param timeout: seconds from the task's start after which to give up, for a task that starts in the triggerer. There
        Airflow sets `timeout_after`, which must be `GRACE` later. In other tasks they count from the trigger's start:
        use `deadline`. The earlier of the two counts.
    :param end_from_trigger: end the task in the triggerer, without a worker, if that loses nothing (Airflow 3.3.1+).
        Only a worker fails a task.
    :param soft_fail: skip the task instead of failing it.
    :param inputs_are_secret: do not show the texts of White Rabbit's errors, which may repeat inputs.
    :param retries: ignored. Triggers that an older version of this provider stored in Airflow's database have it.
    """

    target: ClassVar[Target[Any]]
    """What the trigger waits for: an execution or a workflow run."""

    _has_ended = False
    """Whether the execution or workflow run is known to have ended."""

    _unrendered_id: str | None = None
    """The id before Airflow rendered it; None if Airflow has not rendered it."""

    def __init__(
        self,
        identity: Any,
        whiterabbit_conn_id: str = WhiteRabbitHook.default_conn_name,
        poll_interval: float = POLL_INTERVAL,
        deadline: datetime | None = None,
        timeout: float | None = None,
        end_from_trigger: bool = False,
        soft_fail: bool = False,
        retries: int = 0,
        inputs_are_secret: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        setattr(self, self.target.id_name, identity)  # a template field of a task that starts in the triggerer
        self.whiterabbit_conn_id = whiterabbit_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.timeout = timeout
        self.end_from_trigger = end_from_trigger
        self.soft_fail = soft_fail
        self.inputs_are_secret = inputs_are_secret

    @cached_property
    def hook(self) -> WhiteRabbitHook:
        """The hook that calls White Rabbit with the trigger's connection."""
        return WhiteRabbitHook(self.whiterabbit_conn_id)

    @property
    def _target_id(self) -> str:
        """What the event and messages call the execution or run: its id."""
        return clean(str(getattr(self, self.target.id_name)))  # a template's value, which is validated only later

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments from which Airflow can create the trigger again."""
        names = [self.target.id_name, "whiterabbit_conn_id", "poll_interval", "deadline", "timeout"]
        names += _ENDING_ARGUMENTS if self.end_from_trigger else ()
        names += ("inputs_are_secret",) if self.inputs_are_secret else ()
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render the template fields of a task that starts in the triggerer."""
        self._unrendered_id = getattr(self, self.target.id_name)
        ti = _SingleValueTaskInstance(context["ti"])
        patched: Any = {**context, "ti": ti, "task_instance": ti}
        super().render_template_fields(patched, jinja_env)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end of the execution or workflow run, and yield exactly one trigger event."""
        end_event: TriggerEvent | None = None
        message: str | None = None
        try:
            metrics = self._whiterabbit_metrics
            self._check_ids()
            if not hasattr(sys.modules.get(_TRANSPORT), "AsyncClient"):  # another trigger may have half imported it
                # The first trigger of a triggerer imports for some 300 ms, which would block the event loop.
                await asyncio.to_thread(importlib.import_module, _TRANSPORT)
            async with contextlib.aclosing(await self._connect()) as client:
                succeeded = False
                try:
                    with metrics.timing(WhiteRabbitTimeoutError):
                        end = await self._waiting(client, metrics)
                    status, succeeded, self._has_ended = str(end.status), end.succeeded, True
                except WhiteRabbitTimeoutError as error:
                    status, message = TIMEOUT, str(error)
                end_event = await self._end_task(client, metrics, status, succeeded, message)
        except WhiteRabbitTimeoutError as error:  # the connection could not be read before the deadline
            status, message = TIMEOUT, str(error)
        except WhiteRabbitError as error:
            status, message = ERROR, str(error)
        except Exception as error:
            trace = clean(traceback.format_exc(), _MAX_TRACEBACK)
            self.log.error("Waiting for %s %s failed\n%s", self.target.noun, self._target_id, trace)
            status, message = ERROR, f"{type(error).__name__}: {error}"
        verdict = {self.target.id_name: self._target_id, "status": status, "message": message}
        # An event that can't be encoded ends the triggerer with all its triggers.
        payload = {name: None if text is None else clean(text) for name, text in verdict.items()}
        yield end_event or TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Log that the execution or workflow run was not cancelled, because White Rabbit has no call for cancelling.

        Airflow calls this from 3.3 on, also for a trigger whose wait is over.
        """
        if self._has_ended:
            return
        self.log.warning(
            "The %s %s may still be running at White Rabbit; it was not cancelled", self.target.noun, self._target_id
        )

    def _check_ids(self) -> None:
        """Check what is waited for, before the wait.

        :raises WhiteRabbitInputError: if it is not an id.
        """
        checks.identifier(self._target_id, self.target.id_name, self._unrendered_id)

    def _waiting(self, client: AsyncClient, metrics: TaskMetrics) -> Coroutine[Any, Any, Snapshot | End]:
        """Return what waits for the end. It is not awaited here: each of many waits would keep one more coroutine.

        :raises WhiteRabbitTimeoutError: at the deadline.
        """
        return client.wait(
            self.target.followed(self._target_id),
            deadline=self._deadline(),
            poll_interval=self.poll_interval,
            observe=metrics.observe,
        )

    @property
    def _whiterabbit_metrics(self) -> TaskMetrics:
        # `dag.test()`, which gives a trigger no task instance, runs it in the process of a task.
        stats = task_stats if getattr(self, "task_instance", None) is None else server_stats
        return TaskMetrics(self.whiterabbit_conn_id, self.target.kind, stats, in_background.send)

    async def _connect(self) -> AsyncClient:
        """Return an open client.

        :raises WhiteRabbitError: as `open_client` does.
        """
        name = f"{self.target.noun.capitalize()} {self._target_id}"
        client = await open_client(self.hook, self._deadline(), name, self.log)
        if self.inputs_are_secret:
            client.hiding = Withholding()
        return client

    async def _end_task(
        self, client: AsyncClient, metrics: TaskMetrics, status: str, succeeded: bool, timeout_message: str | None
    ) -> TriggerEvent | None:
        """Return the event that ends the task in the triggerer; None if a worker must resume the task."""
        if not self.end_from_trigger or self.task_instance is None:  # `dag.test()` gives a trigger no task instance
            return None
        from airflow_provider_whiterabbit.ending.in_triggerer import WaitingTask, end_task

        task = WaitingTask(
            target=self.target,
            target_id=self._target_id,
            task_instance=self.task_instance,
            serialized_task=getattr(self, "task", None),  # older versions of Airflow have no such attribute
            soft_fail=self.soft_fail,
            metrics=metrics,
            log=self.log,
        )
        return await end_task(task, client, status, succeeded=succeeded, timeout_message=timeout_message)

    def _deadline(self) -> float | None:
        deadlines = [] if self.deadline is None else [self.deadline.timestamp()]
        if self.timeout is not None:
            timeout_after: datetime | None = getattr(self, "timeout_after", None)
            started = time.time() if timeout_after is None else (timeout_after - GRACE).timestamp() - self.timeout
            deadlines.append(started + self.timeout)
        return min(deadlines, default=None)


class _SingleValueTaskInstance:
    """Wraps an Airflow task instance, so that its `xcom_pull` pulls a single value by default.

    Without map indexes, Airflow 3.3 sends a request that the triggerer's supervisor does not know, and waits for ever.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ti, name)

    def xcom_pull(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("map_indexes", None)
        return self._ti.xcom_pull(*args, **kwargs)
