"""Submits at most once from within the code of a task, each submission under a key that the task chooses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypedDict, TypeVar, cast

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.retry import is_refused
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, WORKFLOW_RUN, Target
from airflow_provider_whiterabbit.compat import AirflowException, AirflowFailException, get_current_context
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitInputError,
    WhiteRabbitProtocolError,
    WhiteRabbitTimeoutError,
    WhiteRabbitUncertainSubmissionError,
)
from airflow_provider_whiterabbit.masking import failure_of
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.tasks import TaskMetrics
from airflow_provider_whiterabbit.operators.doubt import Doubt, Search, configured_on_doubt, other_module
from airflow_provider_whiterabbit.operators.fence import Fence, keyed_fence_of
from airflow_provider_whiterabbit.operators.fence.keyed import records_of
from airflow_provider_whiterabbit.operators.submission import Submission, digest

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.client.records.execution import Execution
    from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
    from airflow_provider_whiterabbit.client.transport.sync import Client
    from airflow_provider_whiterabbit.client.wait.timing import Timing
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.compat import Context

log = logging.getLogger(__name__)

T = TypeVar("T")

_SHOWN = 10
"""How many keys a message names at most."""


class ComponentOptions(TypedDict, total=False):
    """The arguments that `Once.execute_component` hands on to `WhiteRabbitHook.execute_component`."""

    attempts: int | None
    inline_wait: float | timedelta | None
    callback_url: str | None
    callback_secret: str | None
    callback_headers: Mapping[str, str] | None
    callback: bool | str
    allowed_secrets: Collection[str]


class Caller(Protocol):
    """What `Once` needs of the hook."""

    whiterabbit_conn_id: str

    @property
    def timing(self) -> Timing:
        """Time limits and pauses."""

    def get_conn(self) -> Client:
        """Return the blocking client."""

    def run_async(self, work: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine with an asynchronous client."""

    def _component_requests(
        self, module: str, inputs: Mapping[str, Any] | None, config: Mapping[str, Any] | None, /, **options: Any
    ) -> tuple[Request, Request]:
        """Return the request that executes a component with the names of secrets, and with the secrets."""


@dataclass(slots=True)
class _Taken:
    """What stands under a key in this try: an execution or a workflow run.

    :param request: the digest of what was asked.
    :param record: its record, as it was read last; None if it was not read.
    :param is_counted: whether its end was reported as a metric.
    """

    target: Target[Any]
    subject: str
    module: str | None
    request: str
    target_id: str
    record: Any = None
    is_counted: bool = False


class Once:
    """Submits components and workflows from within the code of a task: each key at most once, also across retries.

    `WhiteRabbitHook.once` makes it. The records of what was submitted are kept in the task state store of the task
    instance, under the keys, so a task that is retried or cleared gets what an earlier try submitted under a key. Many
    threads of the task may use it at a time.

    A key is a text of 1 to 200 characters, such as the id of an order. Within a task instance, it stands for one
    request: see :ref:`from-the-code-of-a-task`.
    """

    def __init__(self, caller: Caller, context: Context, on_doubt: str, on_failed_execution: str) -> None:
        self._caller = caller
        self._context = context
        self._on_doubt = on_doubt
        self._resubmits_failed = on_failed_execution == "resubmit"
        self._records = records_of(context)
        self._asked: dict[str, _Taken] = {}

    def execute_component(
        self,
        key: str,
        module: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002 (White Rabbit's word)
        config: Mapping[str, Any] | None = None,
        **options: Unpack[ComponentOptions],
    ) -> Execution:
        """Execute a component, unless this task instance has done so under the key; return the execution's record.

        The record may be an earlier one: `wait` returns that of the end.

        :param key: what the execution stands for in this task, such as the id of an order.
        :param module: module name, as ``RANDOM_UUID``.
        :param input: inputs by name, JSON values.
        :param config: config by name, JSON values.
        :param options: the other arguments of `WhiteRabbitHook.execute_component`.
        :raises WhiteRabbitInputError: if an argument is wrong, or another request stands under the key in this try.
        :raises AirflowFailException: if there is a doubt about what an earlier try, or this one, submitted under the
            key. It ends the task without retries.
        :raises WhiteRabbitError: if nothing was submitted, or could not be found. A retry may succeed.
        """
        from airflow_provider_whiterabbit.client.records.execution import Execution

        key = checks.key(key)
        named, filled = self._caller._component_requests(module, input, config, **options)
        answer, taken = self._take(key, EXECUTION, f"component {module}", module, named, filled)
        if answer is not None:
            taken.record = Execution.from_submission(answer)
        elif taken.record is None:
            taken.record = self._read(taken.target, taken.target_id)
        return cast("Execution", taken.record)

    def trigger_workflow(self, key: str, workflow_id: str) -> str:
        """Start a workflow, unless this task instance has done so under the key; return the id of the workflow run.

        :param key: what the workflow run stands for in this task.
        :raises Exception: as `execute_component` does.
        """
        from airflow_provider_whiterabbit.client import api

        key = checks.key(key)
        request = api.trigger_workflow(workflow_id)
        return self._take(key, WORKFLOW_RUN, f"workflow {workflow_id}", None, request, request)[1].target_id

    def wait(
        self, key: str, *, timeout: float | timedelta | None = None, poll_interval: float | timedelta = POLL_INTERVAL
    ) -> Execution | WorkflowRun:
        """Wait until what stands under a key has ended, successfully or not; return its record.

        :param timeout: seconds or `timedelta`; `None` waits without end.
        :param poll_interval: seconds or `timedelta`, 1 second or more, between two reads of the record where streaming
            is refused.
        :raises WhiteRabbitInputError: if this try has asked for nothing under the key.
        :raises WhiteRabbitTimeoutError: when the time is up.
        """
        taken = self._asked.get(checks.key(key))
        if taken is None:
            raise WhiteRabbitInputError(
                f"This try has asked for nothing under the key {key!r}. Call execute_component or trigger_workflow "
                "with the key first: if an earlier try has submitted, they return what it submitted"
            )
        seconds = None if timeout is None else checks.seconds(timeout, "timeout")
        interval = checks.seconds(poll_interval, "poll_interval")
        metrics = self._metrics(taken.target)
        if taken.record is None or not taken.record.is_terminal:
            followed = taken.target.followed(taken.target_id)
            try:
                with metrics.timing(WhiteRabbitTimeoutError):
                    taken.record = self._caller.get_conn().wait(
                        followed, timeout=seconds, poll_interval=interval, observe=metrics.observe
                    )
            except WhiteRabbitTimeoutError:
                metrics.count(Metric.TIMEOUTS)
                raise
        if not taken.is_counted:
            taken.is_counted = True
            metrics.ended(taken.record)
        if (other := other_module(taken.record, taken.module)) is not None:
            raise WhiteRabbitProtocolError(f"White Rabbit says that the execution {taken.target_id} has {other}")
        return cast("Execution | WorkflowRun", taken.record)

    def results(
        self, *, timeout: float | timedelta | None = None, poll_interval: float | timedelta = POLL_INTERVAL
    ) -> dict[str, Any]:
        """Wait for all that this object was asked for in this try; return the results by key, in the order of asking.

        The result of an execution is its output, that of a workflow run its record, as JSON.

        :param timeout: seconds or `timedelta` for all together; `None` waits without end.
        :param poll_interval: as for `wait`.
        :raises AirflowFailException: if one did not complete, after all have ended. It ends the task without retries.
            With ``on_failed_execution="resubmit"``, it is an `AirflowException`, and a retry submits the failed ones
            anew.
        :raises WhiteRabbitTimeoutError: when the time is up.
        """
        ends = None if timeout is None else monotonic() + checks.seconds(timeout, "timeout")
        self._warn_of_others()
        self._wait_for_executions(ends, checks.seconds(poll_interval, "poll_interval"))
        records = {}
        for key in list(self._asked):
            left = None if ends is None else max(0.0, ends - monotonic())
            records[key] = self.wait(key, timeout=left, poll_interval=poll_interval)
        if failed := {key: record for key, record in records.items() if not record.succeeded}:
            texts = [f"{key!r}: {failure_of(record)}" for key, record in failed.items()]
            error = AirflowException if any(map(self._may_resubmit, failed.values())) else AirflowFailException
            raise error(clean(f"{len(failed)} of {len(records)} did not complete. {_listed(texts)}"))
        return {key: record.result for key, record in records.items()}

    def _wait_for_executions(self, ends: float | None, poll_interval: float) -> None:
        """Wait until all executions have ended, if several still run: all at once, which `wait` does not.

        :param ends: when to give up, by the clock `monotonic`.
        :raises WhiteRabbitTimeoutError: when the time is up.
        """
        running = {
            taken.target_id: taken
            for taken in self._asked.values()
            if taken.target is EXECUTION and not (taken.record is not None and taken.record.is_terminal)
        }
        if len(running) < 2:  # `wait` does that, in this thread
            return
        from airflow_provider_whiterabbit.client.transport.many import ManyExecutions

        def keep(record: Any) -> None:
            running[record.id].record = record

        metrics = self._metrics(EXECUTION)
        many = ManyExecutions(list(running), keep, self._caller.timing, metrics.observe)
        deadline = None if ends is None else time.time() + max(0.0, ends - monotonic())
        try:
            with metrics.timing(WhiteRabbitTimeoutError):
                self._caller.run_async(lambda client: many.wait(client, deadline=deadline, poll_interval=poll_interval))
        except WhiteRabbitTimeoutError:
            metrics.count(Metric.TIMEOUTS)
            raise

    # --- one key

    def _take(
        self, key: str, target: Target[Any], subject: str, module: str | None, named: Request, filled: Request
    ) -> tuple[Any, _Taken]:
        """Find or submit what stands under a key; return the answer to the submission, or None, and what stands there.

        :param named: the request with the names of secrets in it.
        :param filled: the request to send.
        """
        with self._records.lock_of(key):
            fence = keyed_fence_of(self._context, subject, self._records, key)
            fence.request = digest(named, self._caller.whiterabbit_conn_id, self._context["ti"], key)
            taken: _Taken | None = self._records.taken.get(key)
            if taken is not None and taken.request != fence.request:
                raise WhiteRabbitInputError(
                    f"The key {key!r} stands for another request in this try already, for {taken.subject}, and a key "
                    f"stands for one request. Nothing was submitted now for {subject}"
                )
            answer = None
            if taken is None:
                search = self._search(fence, target, subject, module)
                blank = _Taken(target, subject, module, fence.request, "")
                if not self._find(key, blank, fence, search):
                    answer = self._submit(key, blank, fence, search, filled)
                taken = blank
            self._asked[key] = taken
            return answer, taken

    def _find(self, key: str, taken: _Taken, fence: Fence, search: Search) -> bool:
        """Take what an earlier try has submitted under a key; return whether there is something to take."""
        earlier = fence.earlier()
        self._warn_of_risks(fence)
        if earlier is None:
            return False
        found = search.result(earlier)
        if isinstance(found, Doubt):
            self._settle(key, found, fence, taken.target)
            return False
        if found is None:
            return False
        taken.target_id, taken.record = found.target_id, found.record
        self._records.taken[key] = taken
        if earlier.answer or earlier.request is None:  # else the record says all of this already
            fence.adopt(found.target_id, earlier)
        self._metrics(taken.target).count(Metric.REATTACHED, module=taken.module)
        return True

    def _submit(self, key: str, taken: _Taken, fence: Fence, search: Search, request: Request) -> Any:
        def keep(target_id: str) -> None:
            taken.target_id = target_id
            self._records.taken[key] = taken
            fence.adopt(target_id)
            self._metrics(taken.target).count(Metric.SUBMITTED, module=taken.module)

        client = self._caller.get_conn()
        intent = fence.intend()  # from here on, time-outs, signals and kills leave the intent in the store
        try:
            return client.submit(request, taken.target, keep)
        except WhiteRabbitUncertainSubmissionError as error:
            if self._on_doubt != "resubmit":  # else the retry submits anew
                self._fail(key, search.uncertain(intent, error), fence, taken.target)
            raise
        except WhiteRabbitError as error:
            fence.withdraw()
            if is_refused(error):
                self._metrics(taken.target).count(Metric.REFUSALS)
            raise

    def _settle(self, key: str, doubt: Doubt, fence: Fence, target: Target[Any]) -> None:
        """Settle a doubt as the task says: end the task, or return to submit anew."""
        if self._on_doubt != "resubmit":
            self._fail(key, doubt, fence, target)
        self._metrics(target).count(Metric.DOUBTS)
        log.warning(
            "Submitting anew, because on_doubt is 'resubmit' (doubt: %s). Key %r: %s", doubt.kind, key, doubt.text
        )

    def _fail(self, key: str, doubt: Doubt, fence: Fence, target: Target[Any]) -> NoReturn:
        self._metrics(target).count(Metric.DOUBTS)
        doubt.note(fence)
        raise AirflowFailException(doubt.message(fence, key))

    def _search(self, fence: Fence, target: Target[Any], subject: str, module: str | None) -> Search:
        return Search(
            fence=fence,
            target=target,
            subject=subject,
            module=module,
            read=lambda target_id: self._read(target, target_id),
            # Whoever clears a task that has done half of its work means the other half.
            resubmits_cleared=False,
            may_resubmit=self._may_resubmit,
        )

    def _read(self, target: Target[Any], target_id: Any) -> Any:
        return self._caller.get_conn().read(target.followed(target_id))

    def _may_resubmit(self, record: Any) -> bool:
        return bool(record.failed and self._resubmits_failed and self._records.survives_retries)

    def _metrics(self, target: Target[Any]) -> TaskMetrics:
        return TaskMetrics(self._caller.whiterabbit_conn_id, target.kind)

    # --- warnings

    def _warn_of_risks(self, fence: Fence) -> None:
        if self._records.warned:
            return
        self._records.warned = True
        has_records = self._records.survives_retries and self._records.keys()
        for risk in fence.risks(Submission(None) if has_records else None):
            log.warning("%s", risk)

    def _warn_of_others(self) -> None:
        """Log the keys under which earlier tries have submitted what this one did not ask for."""
        if not self._records.survives_retries:
            return
        if others := [key for key in self._records.keys() if key not in self._records.taken]:  # noqa: SIM118
            log.warning(
                "An earlier try has submitted under %d keys that this try has not asked for: nobody waits for %s",
                len(others),
                _listed([repr(key) for key in others]),
            )


def once_of(
    caller: Caller, on_doubt: Literal["fail", "resubmit"] | None, on_failed_execution: Literal["fail", "resubmit"]
) -> Once:
    """Return the object for the running task; see `WhiteRabbitHook.once`."""
    if on_doubt == "ask":  # type: ignore[comparison-overlap]  # for those who have no type checker
        raise WhiteRabbitInputError(
            "on_doubt='ask' can't be used with once(): Airflow can't resume the code of a task at the place where it "
            "asked. Use 'fail', and settle doubts with airflow whiterabbit doubts"
        )
    if on_doubt is not None:
        checks.choice(on_doubt, "on_doubt", ("fail", "resubmit"))
    checks.choice(on_failed_execution, "on_failed_execution", ("fail", "resubmit"))
    try:
        context = get_current_context()
    except Exception as error:  # its class depends on the version of Airflow
        raise WhiteRabbitInputError(
            "once() needs a running task of Airflow in this process: call it in the code of a task, not while the DAG "
            "is parsed, and not in a virtual environment or container of the task"
        ) from error
    option = on_doubt or configured_on_doubt()
    if option == "ask":
        log.warning("The task fails instead of asking a person: %s", "its code calls once()")
    return Once(caller, context, option, on_failed_execution)


def _listed(texts: list[str]) -> str:
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
