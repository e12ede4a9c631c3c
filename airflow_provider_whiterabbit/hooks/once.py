"""Submits at most once from within the code of a task, each submission under a key that the task chooses."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, WORKFLOW_RUN, Target
from airflow_provider_whiterabbit.compat import AirflowException, AirflowFailException, get_current_context
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.hooks.once_submitting import KeyedSubmissions
from airflow_provider_whiterabbit.hooks.once_types import Caller, Taken
from airflow_provider_whiterabbit.hooks.once_waiting import wait_for_executions, wait_for_one
from airflow_provider_whiterabbit.masking import failure_of
from airflow_provider_whiterabbit.operators.doubt import configured_on_doubt
from airflow_provider_whiterabbit.operators.submission import is_key

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.client.records.execution import Execution
    from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.compat import Context

log = logging.getLogger(__name__)

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
        self._submissions = KeyedSubmissions(caller, context, on_doubt, on_failed_execution)
        self._asked: dict[str, Taken] = {}
        """What stands under the keys that this object was asked for, in the order of asking."""

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

        key = _checked(key)
        named, filled = self._caller._component_requests(module, input, config, **options)
        answer, taken = self._take(key, EXECUTION, f"component {module}", module, named, filled)
        if answer is not None:
            taken.record = Execution.from_submission(answer)
        elif taken.record is None:
            taken.record = self._submissions.read(taken.target, taken.target_id)
        return cast("Execution", taken.record)

    def trigger_workflow(self, key: str, workflow_id: str) -> str:
        """Start a workflow, unless this task instance has done so under the key; return the id of the workflow run.

        :param key: what the workflow run stands for in this task.
        :raises Exception: as `execute_component` does.
        """
        from airflow_provider_whiterabbit.client import api

        key = _checked(key)
        request = api.trigger_workflow(workflow_id)
        return self._take(key, WORKFLOW_RUN, f"workflow {workflow_id}", None, request, request)[1].target_id

    def wait(
        self, key: str, *, timeout: float | timedelta | None = None, poll_interval: float | timedelta = POLL_INTERVAL
    ) -> Execution | WorkflowRun:
        """Wait until what stands under a key has ended, successfully or not; return its record.

        :param timeout: seconds or `timedelta`; `None` waits without end.
        :param poll_interval: seconds or `timedelta` between two reads of the record while streaming is refused; less
            than 1 second counts as 1 second.
        :raises WhiteRabbitInputError: if this try has asked for nothing under the key.
        :raises WhiteRabbitTimeoutError: when the time is up.
        """
        taken = self._asked.get(_checked(key))
        if taken is None:
            raise WhiteRabbitInputError(
                f"This try has asked for nothing under the key {key!r}. Call execute_component or trigger_workflow "
                "with the key first: if an earlier try has submitted, they return what it submitted"
            )
        seconds = None if timeout is None else checks.seconds(timeout, "timeout")
        interval = checks.seconds(poll_interval, "poll_interval")
        return cast("Execution | WorkflowRun", wait_for_one(self._caller, taken, seconds, interval))

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
        interval = checks.seconds(poll_interval, "poll_interval")
        wait_for_executions(self._caller, self._asked.values(), ends, interval)
        records = {}
        for key in list(self._asked):
            left = None if ends is None else max(0.0, ends - monotonic())
            records[key] = self.wait(key, timeout=left, poll_interval=poll_interval)
        if failed := {key: record for key, record in records.items() if not record.succeeded}:
            texts = [f"{key!r}: {failure_of(record)}" for key, record in failed.items()]
            resubmits = any(map(self._submissions.may_resubmit, failed.values()))
            error = AirflowException if resubmits else AirflowFailException
            raise error(clean(f"{len(failed)} of {len(records)} did not complete. {_listed(texts)}"))
        return {key: record.result for key, record in records.items()}

    def _take(
        self, key: str, target: Target[Any], subject: str, module: str | None, named: Request, filled: Request
    ) -> tuple[Any, Taken]:
        answer, taken = self._submissions.take(key, target, subject, module, named, filled)
        self._asked[key] = taken
        return answer, taken

    def _warn_of_others(self) -> None:
        """Log the keys under which earlier tries have submitted what this one did not ask for."""
        if others := self._submissions.untouched():
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


def _checked(key: str) -> str:
    """Return a key.

    :raises WhiteRabbitInputError: if it is none, or looks like one of the operator of many inputs.
    """
    if is_key(checks.key(key)):
        raise WhiteRabbitInputError(f"key: {key!r} is how the operator of many inputs names an input. Take another key")
    return key


def _listed(texts: list[str]) -> str:
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
