"""`WhiteRabbitWorkflowRunTrigger`: waits for a workflow run in the triggerer, on the workflow run's event stream."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.wait.target import WORKFLOW_RUN
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers.base import WhiteRabbitTrigger


class WhiteRabbitWorkflowRunTrigger(WhiteRabbitTrigger):
    """Waits for a workflow run to end, and yields exactly one trigger event.

    The event is ``{"workflow_run_id": …, "status": …, "message": …}``. The status is ``COMPLETED``, ``FAILED`` or
    ``CANCELED`` with a null message, or ``TIMEOUT`` or ``ERROR`` with one that says why.

    :param workflow_run_id: id of the run. The other parameters are those of `WhiteRabbitTrigger`.
    """

    target = WORKFLOW_RUN

    def __init__(
        self,
        workflow_run_id: str,
        whiterabbit_conn_id: str = WhiteRabbitHook.default_conn_name,
        poll_interval: float = POLL_INTERVAL,
        deadline: datetime | None = None,
        timeout: float | None = None,
        **ending: Any,
    ) -> None:
        super().__init__(workflow_run_id, whiterabbit_conn_id, poll_interval, deadline, timeout, **ending)
