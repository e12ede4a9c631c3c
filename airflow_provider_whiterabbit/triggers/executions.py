"""`WhiteRabbitExecutionsTrigger`: waits for many executions in the triggerer, on their event streams."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.wait.target import EXECUTIONS
from airflow_provider_whiterabbit.ending.verdict import name_of_many
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.observing.tasks import TaskMetrics
from airflow_provider_whiterabbit.triggers.base import End, WhiteRabbitTrigger

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient


class WhiteRabbitExecutionsTrigger(WhiteRabbitTrigger):
    """Waits for many executions to end, all of them in this one trigger, and yields exactly one trigger event.

    The event is ``{"execution_ids": …, "status": …, "message": …}`` with the number and a digest of the ids. The status
    is ``COMPLETED`` if all of them have completed, ``FAILED`` if all have ended and some have failed, both with a null
    message; or ``TIMEOUT`` or ``ERROR`` with one that says why. The log tells the progress.

    :param execution_ids: ids of the executions. The other parameters are those of `WhiteRabbitTrigger`.
    """

    target = EXECUTIONS
    execution_ids: list[str]

    def __init__(
        self,
        execution_ids: list[str],
        whiterabbit_conn_id: str = WhiteRabbitHook.default_conn_name,
        poll_interval: float = POLL_INTERVAL,
        deadline: datetime | None = None,
        timeout: float | None = None,
        inputs_are_secret: bool = False,
    ) -> None:
        super().__init__(
            execution_ids, whiterabbit_conn_id, poll_interval, deadline, timeout, inputs_are_secret=inputs_are_secret
        )

    def __repr__(self) -> str:
        """Return a short text: Airflow logs each trigger that it starts, and thousands of ids would fill the log."""
        return f"<{type(self).__qualname__} {self._target_id}>"

    @property
    def _target_id(self) -> str:
        return name_of_many(self.execution_ids)

    def _check_ids(self) -> None:
        checks.identifiers(self.execution_ids, self.target.id_name)

    async def _waiting(self, client: AsyncClient, metrics: TaskMetrics) -> End:
        from airflow_provider_whiterabbit.client.records.status import ExecutionStatus
        from airflow_provider_whiterabbit.client.transport.many import ManyExecutions

        many = ManyExecutions(self.execution_ids, self._kept, client.timing, metrics.observe)
        ends = await many.wait(client, deadline=self._deadline(), poll_interval=self.poll_interval, whole_record=False)
        status = ExecutionStatus.COMPLETED if all(ends) else ExecutionStatus.FAILED
        return End(status, status.succeeded)

    def _kept(self, end: Any) -> bool:
        """Return what is kept of an execution that has ended: whether it has completed."""
        return bool(end.succeeded)
