"""`WhiteRabbitExecutionTrigger`: waits for an execution in the triggerer, on the execution's event stream."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers.base import WhiteRabbitTrigger


class WhiteRabbitExecutionTrigger(WhiteRabbitTrigger):
    """Waits for an execution to end, and yields exactly one trigger event.

    The event is ``{"execution_id": …, "status": …, "message": …}``. The status is ``COMPLETED`` or ``FAILED`` with a
    null message, or ``TIMEOUT`` or ``ERROR`` with one that says why.

    :param execution_id: id of the execution. The other parameters are those of `WhiteRabbitTrigger`.
    """

    target = EXECUTION

    def __init__(
        self,
        execution_id: str,
        whiterabbit_conn_id: str = WhiteRabbitHook.default_conn_name,
        poll_interval: float = POLL_INTERVAL,
        deadline: datetime | None = None,
        timeout: float | None = None,
        **ending: Any,
    ) -> None:
        super().__init__(execution_id, whiterabbit_conn_id, poll_interval, deadline, timeout, **ending)
