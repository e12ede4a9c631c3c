"""`WhiteRabbitWorkflowRunTrigger`: follows a workflow run on its event stream, inside the triggerer."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers.base import WhiteRabbitTrigger

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun
    from airflow_provider_whiterabbit.client.wait.commands import Followed


class WhiteRabbitWorkflowRunTrigger(WhiteRabbitTrigger):
    """Waits for a workflow run to end, and yields exactly one event.

    The event is ``{"workflow_run_id": …, "status": …, "message": …}``. The status is ``COMPLETED``, ``FAILED`` or
    ``CANCELED`` with a null message, or ``TIMEOUT`` or ``ERROR`` with one that says why.

    :param workflow_run_id: id of the run. The other parameters are those of `WhiteRabbitTrigger`.
    """

    id_name = "workflow_run_id"

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

    @staticmethod
    def followed(identity: str) -> Followed[WorkflowRun]:
        """Describe how it is followed."""
        from airflow_provider_whiterabbit.client.wait.target import followed_run

        return followed_run(identity)
