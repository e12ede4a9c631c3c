"""Base class of the operators that submit a component or workflow at most once, and then wait or return an id."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.text import MAX_LENGTH, clean
from airflow_provider_whiterabbit.compat import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseOperator,
    conf,
)
from airflow_provider_whiterabbit.deadlines import MAX_WAIT_SECONDS, limited
from airflow_provider_whiterabbit.ending.verdict import INVALID, UNAUTHORIZED, no_retry_mends
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitInputError,
    WhiteRabbitProtocolError,
    WhiteRabbitTimeoutError,
)
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.masking import failure_of
from airflow_provider_whiterabbit.operators.doubt import OnDoubt, OnFailedExecution, other_module
from airflow_provider_whiterabbit.operators.earlier import OnClear
from airflow_provider_whiterabbit.operators.fence import Fence, fence_of, has_store
from airflow_provider_whiterabbit.operators.fence.guarded_store import check_process
from airflow_provider_whiterabbit.operators.fence.keyed import records_of
from airflow_provider_whiterabbit.operators.submission import digest
from airflow_provider_whiterabbit.operators.submitting import SubmittingMixin
from airflow_provider_whiterabbit.templated import connection_id, fixed_flag, flag, seconds
from airflow_provider_whiterabbit.waiting import is_nested

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.compat import Context, XComArg
    from airflow_provider_whiterabbit.parameters import OperatorParameters, Rendered, Seconds


def _poll_interval(value: Any) -> float:
    return seconds(value, "poll_interval", MAX_WAIT_SECONDS)


class WhiteRabbitSubmitOperator(SubmittingMixin, BaseOperator):
    """Submits a component or workflow at most once; then waits for the execution or workflow run, or returns its id.

    The result is the task's XCom. The operator stores two more XComs: the id (``execution_id`` or ``workflow_run_id``),
    directly after the submission, and the credits that were spent (``usage``).

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

    timeout_error = WhiteRabbitTimeoutError
    ui_color = "#e9e1f5"

    template_fields: Sequence[str] = (
        "whiterabbit_conn_id",
        "wait_for_completion",
        "timeout",
        "poll_interval",
        "on_failed_execution",
        "on_doubt",
        "on_clear",
    )

    def __init__(
        self,
        *,
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
        super().__init__(**kwargs)
        if assigned_users is not None:
            checks.users(assigned_users, "assigned_users")
        for name, value in (("deferrable", deferrable), ("end_from_trigger", end_from_trigger)):
            fixed_flag(value, name)
        self.whiterabbit_conn_id = self._unless_template(whiterabbit_conn_id, connection_id)
        self.wait_for_completion = self._unless_template(
            wait_for_completion, lambda value: flag(value, "wait_for_completion")
        )
        self.deferrable = deferrable or bool(end_from_trigger)
        self._end_option = end_from_trigger
        self.timeout = self._unless_template(timeout, lambda value: None if value is None else limited(value))
        self.poll_interval = self._unless_template(poll_interval, _poll_interval)
        self.on_failed_execution = self._unless_template(
            on_failed_execution, lambda word: checks.choice(word, "on_failed_execution", get_args(self._failed_choices))
        )
        self.on_doubt = self._unless_template(
            on_doubt,
            lambda word: None if word is None else checks.choice(word, "on_doubt", get_args(OnDoubt)),
        )
        self.on_clear = self._unless_template(on_clear, lambda word: checks.choice(word, "on_clear", get_args(OnClear)))
        self.assigned_users = assigned_users

    @property
    def _poll_seconds(self) -> float:
        return self._checked_argument("poll_interval", _poll_interval)

    @property
    def _waits(self) -> bool:
        return self._checked_argument("wait_for_completion", lambda value: flag(value, "wait_for_completion"))

    def _check_arguments(self) -> None:
        """Check the rendered arguments that are needed only after the submission.

        :raises WhiteRabbitInputError: if one is wrong.
        """
        _ = self._waits, self._timeout_seconds, self._poll_seconds, self._resubmits_failed, self._resubmits_cleared
        self._doubt_option()
        self._checked_conn_id()

    def execute(self, context: Context) -> Any:
        """Submit the component or workflow, or find an earlier try's submission; then wait if configured to wait."""
        self._submitted, self._answered, self._lineage_seen = None, False, None
        with self._ending_for_good(context):
            self._refuse_second_execute(context)
            return self._execute(context, fence_of(context, self.submission_name), context["ti"].start_date)

    def _execute(self, context: Context, fence: Fence, started: datetime | None) -> Any:
        self._check_arguments()
        earlier = self._earlier_submission(fence)
        self._complete_arguments(context)
        request = self._request()
        fence.request = digest(request, self.whiterabbit_conn_id, context["ti"])
        self._read_named_secrets()  # after the digest, which is of their names
        if found := self._earlier(earlier, fence, context):
            target_id, record = found.target_id, found.record
            self._keep_id(target_id, fence, context, found.earlier)
        else:
            self._submitted = None  # what was submitted before is replaced
            target_id, record = self._submit(request, fence, context)
        if record is not None:
            self._lineage_saw_record(record)
        if not self._waits:
            return target_id
        if record is not None and record.is_terminal:
            return self._end(record, context)
        deadline = self._deadline(started)
        if self.deferrable and not is_nested(self, context):
            return self._defer_until_end(target_id, deadline, self._poll_seconds)
        timeout = None if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds())
        followed, metrics = self.waits_for.followed(target_id), self._whiterabbit_metrics
        with self._as_task_timeout(), metrics.timing(WhiteRabbitTimeoutError):
            record = self.whiterabbit_hook.get_conn().wait(
                followed, timeout=timeout, poll_interval=self._poll_seconds, observe=metrics.observe
            )
        return self._end(record, context)

    def execute_complete(self, context: Context, event: Any = None, identity: str | None = None) -> Any:
        """Read the record of the execution or workflow run after the trigger's event, and return the task's result.

        :param event: the trigger's event.
        :param identity: id of the execution or run; None in `dag.test()`, which hands on the event alone.
        """
        if identity is not None:
            self._submitted = self._unfinished = self._named(identity)
        record = self._record_after(event, identity)
        self._push_link(context, record.id)
        return self._end(record, context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the task; an error ends the task for good where a retry would not mend it."""
        next_kwargs = self._take_deferred_secrets(next_kwargs)
        records_of(context).operator.resume(None if next_method == "execute_answered" else self._submits_as)
        if next_method != "execute_answered":
            # If the trigger has failed, Airflow hands on an error alone.
            xcom = None if next_kwargs and "identity" in next_kwargs else self._pulled_id(context)
            self._submitted = None if xcom is None else self._named(xcom)
            self._lineage_saw_id(xcom)
        with self._ending_for_good(context):
            submitted = (self._submitted or f"The {self.waits_for.noun}").replace("The ", "the ", 1)
            self._refuse_deferral_timeout(next_method, next_kwargs, submitted)
            return super().resume_execution(next_method, next_kwargs, context)

    def _pulled_id(self, context: Context) -> str | None:
        pulled = self._pulled(context)
        return pulled if isinstance(pulled, str) else None

    def _pulled(self, context: Context) -> Any:
        ti: Any = context["ti"]
        return ti.xcom_pull(task_ids=self.task_id, key=self.waits_for.id_name, map_indexes=ti.map_index)

    def on_kill(self) -> None:
        """Log that the execution or workflow run was not cancelled, because White Rabbit has no call for cancelling.

        Airflow also calls this in a process that exits after its task has ended or was deferred, which logs nothing.
        """
        if self._unfinished is not None:
            self.log.warning("%s may still be running at White Rabbit; it was not cancelled", self._unfinished)

    def _refuse_second_execute(self, context: Context) -> None:
        """Refuse a second operator in a task, because the second operator would find the first one's submission.

        Refuse an operator in a forked process, too: others may be executed there at the same time.
        """
        check_process(context["ti"])
        if not records_of(context).operator.begin():
            raise WhiteRabbitInputError(
                "A task submits once, but this one executes operators more than once. Map one operator over its "
                "inputs, under another task_id: the first operator of this task may have submitted"
            )

    @contextlib.contextmanager
    def _ending_for_good(self, context: Context) -> Iterator[None]:
        """End the task without retries after an error that no retry mends.

        Before Airflow 3.3 a retry can't find what was submitted, so it would fail with another, misleading error.
        """
        try:
            yield
        except (AirflowFailException, AirflowSkipException):
            raise
        except (Exception, AirflowTaskTimeout) as error:
            refusals = () if self._submitted else (*INVALID, *UNAUTHORIZED)
            if no_retry_mends(error, refusals) or not (has_store(context) or self._doubt_option() == "resubmit"):
                submitted = f" ({self._submitted} was submitted)" if self._submitted else ""
                raise AirflowFailException(f"{clean(str(error), MAX_LENGTH - len(submitted))}{submitted}") from error
            raise

    def _end(self, record: Any, context: Context) -> Any:
        self._unfinished = None
        self._lineage_saw_record(record)
        if (other := other_module(record, getattr(self, "module", None))) is not None:
            raise WhiteRabbitProtocolError(f"White Rabbit says that {self._submitted} has {other}")
        self._push_usage(context, record)
        self._whiterabbit_metrics.ended(record)
        if self._may_resubmit(record, has_store(context)):
            raise AirflowException(failure_of(record))  # keeps the retries, which submit anew
        return self._result_of(record, context)
