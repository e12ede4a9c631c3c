"""`WhiteRabbitTriggerWorkflowOperator`: starts a workflow, once, and returns the record of its run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.triggers.workflow import WhiteRabbitWorkflowRunTrigger

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.wire.messages import Request


class WhiteRabbitTriggerWorkflowOperator(WhiteRabbitSubmitOperator):
    """Starts a White Rabbit workflow and returns the record of its run, with the stages and their outputs (as XCom).

    It is started at most once for each run of the task and each clear by a user, also when workers die. The id of the
    run is pushed as XCom ``workflow_run_id`` as soon as it is known. A run that is FAILED or CANCELED fails the task
    without retries; the message names the stages that failed and why.

    :param workflow_id: id of the workflow; templated. The other parameters are those of `WhiteRabbitSubmitOperator`; a
        CANCELED run is never submitted anew by a retry.
    """

    template_fields: Sequence[str] = ("workflow_id", "whiterabbit_conn_id")
    trigger_class = WhiteRabbitWorkflowRunTrigger
    id_field = "runId"

    def __init__(self, *, workflow_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id

    @property
    def what(self) -> str:
        """Names what is submitted."""
        return f"workflow {self.workflow_id}"

    def _request(self) -> Request:
        from airflow_provider_whiterabbit.client import api

        return api.trigger_workflow(self.workflow_id)
