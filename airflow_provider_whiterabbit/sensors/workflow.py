"""`WhiteRabbitWorkflowRunSensor`: waits for a workflow run to end, and returns the workflow run's record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client.wait.target import WORKFLOW_RUN
from airflow_provider_whiterabbit.sensors.base import WhiteRabbitSensor
from airflow_provider_whiterabbit.triggers.workflow import WhiteRabbitWorkflowRunTrigger

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import XComArg


class WhiteRabbitWorkflowRunSensor(WhiteRabbitSensor):
    """Waits until a workflow run has ended, and returns the workflow run's record, with stages and outputs, as XCom.

    A run that is FAILED or CANCELED fails the task without retries. The message names the failed stages and their
    errors.

    .. seealso::
        For more information on how to use this sensor, take a look at the guide:
        :ref:`wait-for-what-something-else-submitted`

    :param workflow_run_id: id of the run; templated, or the output of an upstream task. The other parameters are those
        of `WhiteRabbitSensor`.
    """

    template_fields: Sequence[str] = ("workflow_run_id", "whiterabbit_conn_id")
    waits_for = WORKFLOW_RUN
    trigger_class = WhiteRabbitWorkflowRunTrigger

    def __init__(self, *, workflow_run_id: str | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workflow_run_id = workflow_run_id
