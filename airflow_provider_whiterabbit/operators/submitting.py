"""Sends the submission of a component or workflow once, and keeps its id where a retry finds it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitUncertainSubmissionError,
)
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.operators.earlier import EarlierMixin
from airflow_provider_whiterabbit.operators.fence import Fence
from airflow_provider_whiterabbit.operators.fence.keyed import records_of
from airflow_provider_whiterabbit.operators.submission import Submission, Way

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.compat import Context


class SubmittingMixin(EarlierMixin):
    """Mixin for operators that submit a component or workflow at most once."""

    _submits_as: ClassVar[Way] = Way.ONE

    def _complete_arguments(self, context: Context) -> None:
        """Set the arguments that are known only now. An error still tells what an earlier try has submitted."""

    @abstractmethod
    def _request(self) -> Request:
        """Validate all arguments, and return the HTTP request that submits the component or workflow."""

    def _with_secrets(self, request: Request) -> Request:
        """Return the request with secrets in place of their names."""
        return request

    def _check_before_submission(self) -> None:
        """Check with White Rabbit what can't be checked without a request."""

    def _record_in(self, answer: Any) -> Any:
        """Return the execution's record in the HTTP response to the submission; None if the response has no record."""
        return None

    def _submit(self, request: Request, fence: Fence, context: Context) -> tuple[str, Any]:
        from airflow_provider_whiterabbit.client.retry import is_refused  # a DAG file does not need it

        client = self.whiterabbit_hook.get_conn()
        self._check_before_submission()
        request = self._with_secrets(request)
        self._unfinished = f"The submission of {self.submission_name}"
        intent = fence.intend()  # from here on, time-outs, signals and kills leave the intent in the store

        def keep(target_id: str) -> None:
            intent.check_is_new(target_id)
            self._keep_id(target_id, fence, context)

        try:
            answer = client.submit(request, self.waits_for, keep)
        except WhiteRabbitUncertainSubmissionError as error:
            self._submitted = self._unfinished
            if self._doubt_option() == "resubmit":
                raise  # the retry submits anew
            self._fail_or_ask(self._search(fence).uncertain(intent, error), fence, context)
        except WhiteRabbitError as error:
            self._unfinished = None
            fence.withdraw()
            if is_refused(error):
                self._whiterabbit_metrics.count(Metric.REFUSALS)
            raise
        return answer[self.waits_for.answer_id], self._record_in(answer)

    def _keep_id(self, target_id: str, fence: Fence, context: Context, earlier: Submission | None = None) -> None:
        self._submitted = self._unfinished = self._named(target_id)
        self._lineage_saw_id(target_id)
        fence.adopt(target_id, earlier)
        records_of(context).operator.has_found = True
        metric = Metric.SUBMITTED if earlier is None else Metric.REATTACHED
        self._whiterabbit_metrics.count(metric, module=getattr(self, "module", None))
        try:
            if self.do_xcom_push:
                context["ti"].xcom_push(key=self.waits_for.id_name, value=target_id)
            self._push_link(context, target_id)
        except Exception:  # must not end the wait for what was just submitted
            self.log.exception("The id %s could not be stored as XCom", target_id)
