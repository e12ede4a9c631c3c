"""`WhiteRabbitTriggerWorkflowOperator`: starts a workflow once, and returns the record of the workflow run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client.wait.target import WORKFLOW_RUN
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.operators.native import NativeRenderingMixin
from airflow_provider_whiterabbit.triggers.workflow import WhiteRabbitWorkflowRunTrigger

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.wire.messages import Request


class WhiteRabbitTriggerWorkflowOperator(NativeRenderingMixin, WhiteRabbitSubmitOperator):
    """Starts a White Rabbit workflow, and returns the workflow run's record as XCom, with the stages and their outputs.

    The workflow is started at most once for each run of the task and each clear by a user, also if workers die. The id
    of the workflow run is stored as XCom ``workflow_run_id`` as soon as it is known. A run that is FAILED or CANCELED
    fails the task without retries. The message names the failed stages and their errors.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`submit-and-wait`

    :param workflow_id: id of the workflow; templated. The other parameters are those of `WhiteRabbitSubmitOperator`.
        With ``on_failed_execution="resubmit"``, a retry resubmits a FAILED run, but not a CANCELED one.
    """

    template_fields: Sequence[str] = ("workflow_id", "whiterabbit_conn_id")
    waits_for = WORKFLOW_RUN
    trigger_class = WhiteRabbitWorkflowRunTrigger

    def __init__(self, *, workflow_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id

    @property
    def submission_name(self) -> str:
        """The workflow, for messages."""
        return f"workflow {self.workflow_id}"

    def _lineage_subject(self) -> str | None:
        return self.workflow_id

    def _request(self) -> Request:
        from airflow_provider_whiterabbit.client import api

        with self._naming_native_rendering("workflow_id"):
            return api.trigger_workflow(self.workflow_id)
