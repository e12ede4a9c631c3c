"""What the operators share: submit once, then wait, or not."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator, conf

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.ending import obstacles as triggerer_path
from airflow_provider_whiterabbit.ending.verdict import result_of
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitInputError,
    WhiteRabbitNotFoundError,
    WhiteRabbitTimeoutError,
    WhiteRabbitUncertainSubmissionError,
)
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.fence import Fence
from airflow_provider_whiterabbit.waiting import LONGEST_WAIT, WaitingMixin

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_whiterabbit.client.wire.messages import Request

Choice = Literal["fail", "resubmit"]

_EXECUTED = "whiterabbit_operator"
"""Where a task's context says that it has executed an operator, and which."""


class WhiteRabbitSubmitOperator(WaitingMixin, BaseOperator):
    """Submits something to White Rabbit at most once, then waits for it, or not.

    The result is the task's XCom; others are the id, as ``execution_id`` or ``workflow_run_id``, directly after the
    submission, and the credits that were spent, as ``usage``.

    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``; templated.
    :param wait_for_completion: wait, and return the result; otherwise return the id at once.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    :param end_from_trigger: end in the triggerer, without a worker (Airflow 3.3.1+); by default what ``[whiterabbit]
        end_from_trigger`` says. A task that would lose something by it is ended by a worker.
    :param timeout: seconds or `timedelta` from the task's start after which `WhiteRabbitTimeoutError` is raised. What
        was submitted goes on, and a retry waits for it again. `execution_timeout` bounds the wait too, also while
        deferred.
    :param poll_interval: seconds or `timedelta`, 1 second or more, between two reads of the record while there is no
        stream.
    :param on_failed_execution: what happens after FAILED: ``fail`` ends the task without retries; ``resubmit`` lets a
        retry submit anew (Airflow 3.3+).
    :param on_uncertain_submission: what a retry does if it is not known whether an earlier submission arrived: ``fail``
        ends the task and says how to settle it; ``resubmit`` submits anew, which may do everything twice.
    """

    timeout_error = WhiteRabbitTimeoutError

    id_field: ClassVar[str]
    """Where the answer to a submission holds the id."""

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
        for name, choice in (
            ("on_failed_execution", on_failed_execution),
            ("on_uncertain_submission", on_uncertain_submission),
        ):
            if choice not in ("fail", "resubmit"):
                raise WhiteRabbitInputError(f"{name} must be 'fail' or 'resubmit', got {choice!r}")
        self.whiterabbit_conn_id = whiterabbit_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable or bool(end_from_trigger)
        self.ends_in_triggerer = self.deferrable and triggerer_path.option("end_from_trigger", end_from_trigger)
        self.timeout = None if timeout is None else checks.seconds(timeout, "timeout")
        self.poll_interval = checks.seconds(poll_interval, "poll_interval", LONGEST_WAIT)
        self.on_failed_execution = on_failed_execution
        self.on_uncertain_submission = on_uncertain_submission
        self._goes_on: str | None = None  # at White Rabbit, should the task be killed

    @property
    @abstractmethod
    def what(self) -> str:
        """Names what is submitted, as ``component PAY``."""

    @abstractmethod
    def _request(self) -> Request:
        """Check everything and return what is to be sent."""

    def _record_in(self, answer: Any) -> Any:
        """Return the record that the answer to a submission holds, if it does."""
        return None

    def execute(self, context: Context) -> Any:
        """Submit, or find what was submitted before; then wait in the way that was asked for."""
        self._insist_on_being_alone(context)
        fence = Fence(context, self.what)
        identity, record = self._earlier(fence, context) or self._submit(self._request(), fence, context)
        if not self.wait_for_completion:
            return identity
        if record is not None and record.status.is_terminal:
            return self._end(record, fence, context)
        deadline = self._deadline(context)
        if self.deferrable:
            return self._defer_until(identity, deadline, self.poll_interval)
        left = None if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds())
        followed = self.trigger_class.followed(identity)
        with self._telling_timeouts_apart():
            record = self._hook.get_conn().wait(followed, timeout=left, poll_interval=self.poll_interval)
        return self._end(record, fence, context)

    def execute_complete(self, context: Context, event: Any = None, identity: str | None = None) -> Any:
        """Turn the trigger's event into the task's end.

        :param identity: id of what was submitted; None in `dag.test()`, which hands on the event alone.
        """
        self._goes_on = identity
        record = self._record_after(event, identity)
        self._show_link(context, record.id)
        return self._end(record, Fence(context, self.what), context)

    def on_kill(self) -> None:
        """Say that what was submitted goes on: White Rabbit has no call to cancel it."""
        if self._goes_on is not None:
            self.log.warning("%s goes on at White Rabbit: it can't be cancelled from here", self._goes_on)

    def _insist_on_being_alone(self, context: Context) -> None:
        """Refuse to be executed where this or another operator was: it would find what was submitted then."""
        marks = cast("dict[str, Any]", context)
        if _EXECUTED in marks:
            raise WhiteRabbitInputError(
                "A task submits once, and this one executes operators more than once: map one over its inputs, or use "
                "WhiteRabbitHook, which submits as often as it is told to"
            )
        marks[_EXECUTED] = self.task_id

    def _earlier(self, fence: Fence, context: Context) -> tuple[str, Any] | None:
        """Find what an earlier try submitted: its id and record, or None if there is to be a new submission."""
        if not fence.is_kept and self.on_failed_execution == "resubmit":
            self.log.warning("on_failed_execution='resubmit' needs Airflow 3.3 or newer; here a retry can't tell")
        earlier = fence.earlier()
        if earlier is None:
            if not fence.is_kept and fence.is_retry:
                self._insist_on_certainty(fence, "by an earlier try")
            return None
        if earlier.identity is None:
            self._insist_on_certainty(fence, f"of {earlier.at}")
            return None
        try:
            record = self._hook.get_conn().read(self.trigger_class.followed(earlier.identity))
        except WhiteRabbitNotFoundError as error:
            error.hint = fence.remedy
            raise
        self.log.info("Submitted before (%s): %s is %s", earlier.at, earlier.identity, record.progress)
        if record.status.is_terminal and (fence.is_stale(earlier) or self._may_be_resubmitted(record, fence)):
            self.log.info("Submitting anew: %s", "the task was cleared" if fence.is_stale(earlier) else record.failure)
            return None
        self._keep(earlier.identity, fence, context, earlier.at)
        return earlier.identity, record

    def _insist_on_certainty(self, fence: Fence, at: str) -> None:
        if self.on_uncertain_submission == "fail":
            raise fence.uncertain(at)
        self.log.warning("Submitting anew, though the submission %s may have arrived", at)

    def _may_be_resubmitted(self, record: Any, fence: Fence) -> bool:
        return bool(record.status == "FAILED" and self.on_failed_execution == "resubmit" and fence.is_kept)

    def _submit(self, request: Request, fence: Fence, context: Context) -> tuple[str, Any]:
        client = self._hook.get_conn()
        self._goes_on = f"What may have been submitted ({self.what})"
        fence.intend()  # from here on, whatever is not caught below leaves the intent behind: time-outs, signals, kills
        try:
            answer = client.submit(request, self.id_field, lambda identity: self._keep(identity, fence, context))
        except WhiteRabbitUncertainSubmissionError as error:
            if self.on_uncertain_submission == "resubmit":
                raise  # to the retry that submits anew
            raise fence.uncertain("just made") from error
        except WhiteRabbitError:
            fence.withdraw()
            raise
        return answer[self.id_field], self._record_in(answer)

    def _keep(self, identity: str, fence: Fence, context: Context, at: str | None = None) -> None:
        self._goes_on = identity
        fence.adopt(identity, at)
        try:
            if self.do_xcom_push:
                context["ti"].xcom_push(key=self.trigger_class.id_name, value=identity)
            self._show_link(context, identity)
        except Exception:  # no reason to end what has just been submitted
            self.log.exception("The id of %s could not be stored as XCom", identity)

    def _end(self, record: Any, fence: Fence, context: Context) -> Any:
        self._report_usage(context, record)
        if self._may_be_resubmitted(record, fence):
            raise AirflowException(record.failure)  # one that leaves the retries, which submit anew
        return result_of(record)
