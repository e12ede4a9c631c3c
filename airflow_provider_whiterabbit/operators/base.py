"""Base class of the operators that submit a component or workflow at most once, and then wait or return an id."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator, conf

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.ending.verdict import result_of
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitInputError,
    WhiteRabbitNotFoundError,
    WhiteRabbitTimeoutError,
    WhiteRabbitUncertainSubmissionError,
)
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.fence import Fence, fence_of
from airflow_provider_whiterabbit.waiting import MAX_WAIT_SECONDS, WaitingMixin, configured

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_whiterabbit.client.wire.messages import Request

Choice = Literal["fail", "resubmit"]

_EXECUTED_BY = "whiterabbit_operator"
"""Key in a task's context whose value is the id of the operator that was executed in the task."""


class WhiteRabbitSubmitOperator(WaitingMixin, BaseOperator):
    """Submits a component or workflow at most once; then waits for the execution or workflow run, or returns its id.

    The result is the task's XCom. The operator stores two more XComs: the id (``execution_id`` or ``workflow_run_id``),
    directly after the submission, and the credits that were spent (``usage``).

    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``; templated.
    :param wait_for_completion: wait for the end and return the result. If False, return the id at once.
    :param deferrable: wait in the triggerer. The default is ``[operators] default_deferrable``.
    :param end_from_trigger: end in the triggerer, without a worker (Airflow 3.3.1+). The default is ``[whiterabbit]
        end_from_trigger``. A task that would lose something by it is ended by a worker.
    :param timeout: seconds or `timedelta` from the task's start after which `WhiteRabbitTimeoutError` is raised. The
        execution or run is not cancelled, and a retry waits for it again. `execution_timeout` bounds the wait too, also
        while deferred.
    :param poll_interval: seconds or `timedelta`, 1 second or more, between two reads of the record while streaming is
        refused.
    :param on_failed_execution: what happens after FAILED: ``fail`` ends the task without retries; ``resubmit`` lets a
        retry submit anew (Airflow 3.3+).
    :param on_uncertain_submission: what a retry does if it is not known whether an earlier submission arrived: ``fail``
        ends the task and says how to settle it; ``resubmit`` submits anew, so everything may happen twice.
    """

    timeout_error = WhiteRabbitTimeoutError

    def __init__(
        self,
        *,
        whiterabbit_conn_id: str = WhiteRabbitHook.default_conn_name,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        end_from_trigger: bool | None = None,
        timeout: float | timedelta | None = None,
        poll_interval: float | timedelta = POLL_INTERVAL,
        on_failed_execution: Choice = "fail",
        on_uncertain_submission: Choice = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for argument, choice in (
            ("on_failed_execution", on_failed_execution),
            ("on_uncertain_submission", on_uncertain_submission),
        ):
            if choice not in ("fail", "resubmit"):
                raise WhiteRabbitInputError(f"{argument} must be 'fail' or 'resubmit', got {choice!r}")
        self.whiterabbit_conn_id = whiterabbit_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable or bool(end_from_trigger)
        self.ends_in_triggerer = self.deferrable and configured("end_from_trigger", end_from_trigger)
        self.timeout = None if timeout is None else checks.seconds(timeout, "timeout")
        self.poll_interval = checks.seconds(poll_interval, "poll_interval", MAX_WAIT_SECONDS)
        self.on_failed_execution = on_failed_execution
        self.on_uncertain_submission = on_uncertain_submission
        self._unfinished: str | None = None  # what may be running at White Rabbit when the task is killed

    @property
    @abstractmethod
    def submission_name(self) -> str:
        """The name of the submitted component or workflow in messages, such as ``component PAY``."""

    @abstractmethod
    def _request(self) -> Request:
        """Validate all arguments, and return the HTTP request that submits the component or workflow."""

    def _record_in(self, answer: Any) -> Any:
        """Return the execution's record in the HTTP response to the submission; None if the response has no record."""
        return None

    def execute(self, context: Context) -> Any:
        """Submit the component or workflow, or find an earlier try's submission; then wait if configured to wait."""
        self._refuse_second_execute(context)
        fence = fence_of(context, self.submission_name)
        target_id, record = self._earlier(fence, context) or self._submit(self._request(), fence, context)
        if not self.wait_for_completion:
            return target_id
        if record is not None and record.is_terminal:
            return self._end(record, fence, context)
        deadline = self._deadline(context)
        if self.deferrable:
            return self._defer_until_end(target_id, deadline, self.poll_interval)
        timeout = None if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds())
        followed = self.waits_for.followed(target_id)
        with self._as_task_timeout():
            record = self.whiterabbit_hook.get_conn().wait(followed, timeout=timeout, poll_interval=self.poll_interval)
        return self._end(record, fence, context)

    def execute_complete(self, context: Context, event: Any = None, identity: str | None = None) -> Any:
        """Read the record of the execution or workflow run after the trigger's event, and return the task's result.

        :param event: the trigger's event.
        :param identity: id of the execution or run; None in `dag.test()`, which hands on the event alone.
        """
        if identity is not None:
            self._unfinished = self._named(identity)
        record = self._record_after(event, identity)
        self._push_link(context, record.id)
        return self._end(record, fence_of(context, self.submission_name), context)

    def on_kill(self) -> None:
        """Log that the execution or workflow run was not cancelled, because White Rabbit has no call for cancelling."""
        if self._unfinished is not None:
            self.log.warning("%s may still be running at White Rabbit; it was not cancelled", self._unfinished)

    def _named(self, target_id: str) -> str:
        return f"The {self.waits_for.noun} {target_id}"

    def _refuse_second_execute(self, context: Context) -> None:
        """Refuse a second operator in a task, because the second operator would find the first one's submission."""
        marks = cast("dict[str, Any]", context)
        if _EXECUTED_BY in marks:
            raise WhiteRabbitInputError(
                "A task submits once, but this one executes operators more than once. Map one operator over its "
                "inputs, or use WhiteRabbitHook, which submits at every call"
            )
        marks[_EXECUTED_BY] = self.task_id

    def _earlier(self, fence: Fence, context: Context) -> tuple[str, Any] | None:
        """Return the id and record of what an earlier try of the task submitted; None if the task must submit now."""
        if self.on_failed_execution == "resubmit" and not fence.survives_retries:
            self.log.warning("on_failed_execution='resubmit' needs Airflow 3.3 or newer; here a retry never resubmits")
        earlier = fence.earlier()
        if earlier is None:
            return None
        if earlier.target_id is None:
            self._refuse_if_uncertain(fence, earlier.made)
            return None
        try:
            record = self.whiterabbit_hook.get_conn().read(self.waits_for.followed(earlier.target_id))
        except WhiteRabbitNotFoundError as error:
            error.hint = fence.remedy
            raise
        self.log.info("Submitted before, at %s: %s is %s", earlier.at, earlier.target_id, record.progress)
        if record.is_terminal and (fence.is_stale(earlier) or self._may_resubmit(record, fence)):
            self.log.info("Submitting anew: %s", "the task was cleared" if fence.is_stale(earlier) else record.failure)
            return None
        self._keep_id(earlier.target_id, fence, context, earlier.at)
        return earlier.target_id, record

    def _refuse_if_uncertain(self, fence: Fence, made: str) -> None:
        if self.on_uncertain_submission == "fail":
            raise fence.uncertain(made)
        self.log.warning("Submitting anew, although the submission %s may have arrived", made)

    def _may_resubmit(self, record: Any, fence: Fence) -> bool:
        return bool(record.failed and self.on_failed_execution == "resubmit" and fence.survives_retries)

    def _submit(self, request: Request, fence: Fence, context: Context) -> tuple[str, Any]:
        client = self.whiterabbit_hook.get_conn()
        self._unfinished = f"The submission of {self.submission_name}"
        fence.intend()  # from here on, time-outs, signals and kills leave the intent in the store
        try:
            answer = client.submit(request, self.waits_for, lambda target_id: self._keep_id(target_id, fence, context))
        except WhiteRabbitUncertainSubmissionError as error:
            if self.on_uncertain_submission == "resubmit":
                raise  # the retry submits anew
            raise fence.uncertain("just made") from error
        except WhiteRabbitError:
            fence.withdraw()
            raise
        return answer[self.waits_for.answer_id], self._record_in(answer)

    def _keep_id(self, target_id: str, fence: Fence, context: Context, at: str | None = None) -> None:
        self._unfinished = self._named(target_id)
        fence.adopt(target_id, at)
        try:
            if self.do_xcom_push:
                context["ti"].xcom_push(key=self.waits_for.id_name, value=target_id)
            self._push_link(context, target_id)
        except Exception:  # must not end the wait for what was just submitted
            self.log.exception("The id %s could not be stored as XCom", target_id)

    def _end(self, record: Any, fence: Fence, context: Context) -> Any:
        self._push_usage(context, record)
        if self._may_resubmit(record, fence):
            raise AirflowException(record.failure)  # keeps the retries, which submit anew
        return result_of(record)
