"""`WhiteRabbitTriggerWorkflowOperator`: starts a workflow once, and returns the record of the workflow run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.wait.target import WORKFLOW_RUN
from airflow_provider_whiterabbit.compat import conf
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.triggers.workflow import WhiteRabbitWorkflowRunTrigger

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.compat import XComArg
    from airflow_provider_whiterabbit.operators.doubt import OnDoubt, OnFailedExecution
    from airflow_provider_whiterabbit.operators.earlier import OnClear
    from airflow_provider_whiterabbit.parameters import OperatorParameters, Rendered, Seconds


class WhiteRabbitTriggerWorkflowOperator(WhiteRabbitSubmitOperator):
    """Starts a White Rabbit workflow, and returns the workflow run's record as XCom, with the stages and their outputs.

    The workflow is started at most once for each run of the task and each clear by a user, also if workers die. The id
    of the workflow run is stored as XCom ``workflow_run_id`` as soon as it is known. A run that is FAILED or CANCELED
    fails the task without retries. The message names the failed stages and their errors.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`run-a-workflow`

    With ``on_failed_execution="resubmit"``, a retry resubmits a FAILED run, but not a CANCELED one.

    :param workflow_id: id of the workflow; templated.
    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``; templated.
    :param wait_for_completion: wait for the end and return the result; templated. If False, return the id at once.
    :param deferrable: wait in the triggerer. The default is ``[operators] default_deferrable``.
    :param end_from_trigger: end in the triggerer, without a worker (Airflow 3.3.1+). The default is ``[whiterabbit]
        end_from_trigger``. A task that would lose something by it is ended by a worker.
    :param timeout: seconds or `timedelta` from the task's start after which `WhiteRabbitTimeoutError` is raised;
        templated. The execution or run is not cancelled, and a retry waits for it again. `execution_timeout` bounds the
        wait too, also while deferred.
    :param poll_interval: seconds or `timedelta` between two reads of the record while streaming is refused; less than
        1 second counts as 1 second; templated.
    :param on_failed_execution: what happens after FAILED: ``fail`` ends the task without retries; ``resubmit`` lets a
        retry submit anew (Airflow 3.3+). Templated.
    :param on_doubt: what happens if an earlier submission of the task may not have arrived, was another request, or is
        unknown to White Rabbit: ``fail`` ends the task without retries and says how to settle the doubt; ``ask`` asks a
        person in Airflow's UI (Airflow 3.3+, else as ``fail``); ``resubmit`` submits anew, so everything may happen
        twice. The default is ``[whiterabbit] on_doubt``, or ``fail``. Templated.
    :param on_clear: what happens if the task is cleared after the execution or run has ended: ``resubmit`` submits
        anew; ``reattach`` takes the earlier one again, as a retry does. Templated.
    :param assigned_users: the users who may answer the question of ``on_doubt="ask"``, each ``{"id": …, "name": …}``.
        The default is everyone who may answer required actions of the DAG.
    """

    template_fields: Sequence[str] = ("workflow_id", *WhiteRabbitSubmitOperator.template_fields)
    waits_for = WORKFLOW_RUN
    trigger_class = WhiteRabbitWorkflowRunTrigger

    def __init__(
        self,
        *,
        workflow_id: str | XComArg,
        whiterabbit_conn_id: str | XComArg = WhiteRabbitHook.default_conn_name,
        wait_for_completion: bool | Rendered = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        end_from_trigger: bool | None = None,
        timeout: Seconds | None = None,
        poll_interval: Seconds = POLL_INTERVAL,
        on_failed_execution: OnFailedExecution | Rendered = "fail",
        on_doubt: OnDoubt | Rendered | None = None,
        on_clear: OnClear | Rendered = "resubmit",
        assigned_users: list[dict[str, str]] | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(
            whiterabbit_conn_id=whiterabbit_conn_id,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            end_from_trigger=end_from_trigger,
            timeout=timeout,
            poll_interval=poll_interval,
            on_failed_execution=on_failed_execution,
            on_doubt=on_doubt,
            on_clear=on_clear,
            assigned_users=assigned_users,
            **kwargs,
        )
        self.workflow_id: Any = self._unless_template(
            workflow_id, lambda value: checks.identifier(value, "workflow_id")
        )

    @property
    def submission_name(self) -> str:
        """The workflow, for messages."""
        return f"workflow {self.workflow_id}"

    def _lineage_subject(self) -> str | None:
        return self.workflow_id if isinstance(self.workflow_id, str) else None  # a template may render to anything

    def _request(self) -> Request:
        from airflow_provider_whiterabbit.client import api

        with self._naming_native_rendering("workflow_id"):
            workflow_id = checks.identifier(self.workflow_id, "workflow_id", self._unrendered.get("workflow_id"))
            return api.trigger_workflow(workflow_id)
