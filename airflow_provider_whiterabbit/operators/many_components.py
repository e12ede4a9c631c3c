"""What submits the inputs of a task, each at most once, and then waits for all their executions together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.client.wait.target import EXECUTIONS
from airflow_provider_whiterabbit.ending.verdict import name_of_many
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitInputError,
    WhiteRabbitProtocolError,
    WhiteRabbitTimeoutError,
)
from airflow_provider_whiterabbit.operators.catalogue_checks import similar_names
from airflow_provider_whiterabbit.operators.component_base import WhiteRabbitComponentOperator
from airflow_provider_whiterabbit.operators.doubt import other_module
from airflow_provider_whiterabbit.operators.fence import has_store
from airflow_provider_whiterabbit.operators.fence.keyed import records_of
from airflow_provider_whiterabbit.operators.inputs import INLINE_WAIT, at_once, inline_wait, inputs_of
from airflow_provider_whiterabbit.operators.submission import Way, key_of
from airflow_provider_whiterabbit.triggers.executions import WhiteRabbitExecutionsTrigger
from airflow_provider_whiterabbit.waiting import is_nested
from airflow_provider_whiterabbit.waiting_for_many import Ended, WaitingForManyMixin

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.many import ManyExecutions
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.compat import Context
    from airflow_provider_whiterabbit.operators.fence import Fence
    from airflow_provider_whiterabbit.operators.many_submitting import ManySubmissions

_SHOWN = 10
"""How many ids the log names when the task is killed."""


class WhiteRabbitManyComponentsOperator(WaitingForManyMixin, WhiteRabbitComponentOperator):
    """Submits each of many inputs of a component at most once; then waits for the executions, or returns their ids."""

    waits_for = EXECUTIONS
    _submits_as = Way.MANY
    trigger_class = WhiteRabbitExecutionsTrigger
    operator_extra_links = ()

    inputs: Any
    at_once: Any
    inline_wait: Any = INLINE_WAIT

    _secret_arguments = ("inputs", "config")
    _json_arguments = ("config",)

    _many: ManySubmissions | None = None
    """What this process submits, or has submitted."""

    def _check_arguments(self) -> None:
        super()._check_arguments()
        _ = self._has_outputs, self._returns_failures, self._validates, self._seconds_inline
        _ = self._checked_argument("at_once", at_once)

    @property
    def _seconds_inline(self) -> float:
        return self._checked_argument("inline_wait", inline_wait)

    _deferred_here: ClassVar[dict[str, list[str]]] = {}
    """The ids with which this process has deferred tasks, by their name in the trigger's event. `dag.test()` resumes
    the tasks in the same process, and hands on the event alone; there may be no XCom of the ids."""

    def _execute(self, context: Context, fence: Fence, started: datetime | None) -> Any:
        self._check_arguments()
        if has_store(context) and records_of(context).keys():
            self._submitted = "A part of the inputs"  # so a retry may find it, if this try fails from here on
        self._complete_inputs()
        requests = self._requests()
        self._read_named_secrets()
        deadline = self._deadline(started)
        many = self._many = self._submissions(requests, deadline, context)
        self._unfinished = f"The submission of {self.submission_name}"
        with self._as_task_timeout():
            ids = many.run()
        self._note_ids(ids, context)
        if not self._waits:
            return ids
        if self.deferrable and not many.have_ended and not is_nested(self, context):
            executions = self._executions(ids, self._whiterabbit_metrics.observe)
            if self._end_inline(executions, deadline):
                return self._results(executions, context)
            self._deferred_here[name_of_many(ids)] = ids
            return self._defer_until_end(ids, deadline, self._poll_seconds)
        return self._wait_in_worker(ids, deadline, context)

    def _complete_inputs(self) -> None:
        self._complete_object("config")
        text = self.inputs
        with self._naming_native_rendering("inputs"):
            self.inputs = self._checked_argument("inputs", inputs_of)
        self._note_parsed(text, self.inputs)

    def _requests(self) -> list[Request]:
        """Validate all arguments, and return the HTTP request for each input, with the names of secrets in it."""
        with self._naming_native_rendering("module", "inputs", "config", "callback"):
            return [self._request(index) for index in range(len(self.inputs))]

    def _request(self, index: int = 0) -> Request:
        """Return the HTTP request for an input."""
        try:
            return self._request_of(self.inputs[index], self.config)
        except WhiteRabbitInputError as error:
            text = str(error)
            if text.startswith(("input.", "input[", "input:")):
                raise WhiteRabbitInputError(f"{key_of(index)}{text.removeprefix('input')}") from None
            raise

    def _submissions(self, requests: Sequence[Request], deadline: datetime | None, context: Context) -> ManySubmissions:
        from airflow_provider_whiterabbit.hooks.once_submitting import KeyedSubmissions
        from airflow_provider_whiterabbit.operators.many_submitting import ManySubmissions, Plan

        hook, on_doubt = self.whiterabbit_hook, self._doubt_option()
        if on_doubt == "ask":
            self.log.warning("The task fails instead of asking a person: %s", "it submits many inputs")
        plan = Plan(
            module=self.module,
            requests=requests,
            check=self._check_before_submission,
            filled=self._with_secrets_of if self._names_secrets() else requests.__getitem__,
            hint=lambda: similar_names(hook, self.module),
            may_submit_twice=on_doubt == "resubmit",
            at_once=self._checked_argument("at_once", at_once),
            deadline=deadline,
            timing=hook.timing,
        )
        cleared = self._resubmits_cleared
        submissions = KeyedSubmissions(hook, context, on_doubt, "fail", resubmits_cleared=cleared, is_quiet=True)
        return ManySubmissions(submissions, plan)

    def _check_before_submission(self) -> None:
        if self._validates:
            self._check_with_catalogue({key_of(index): one for index, one in enumerate(self.inputs)})

    def _with_secrets_of(self, index: int) -> Request:
        filled = self.whiterabbit_hook.secret_values.filled
        return self._request_of(filled(self.inputs[index]), filled(self.config))

    def _note_ids(self, ids: list[str], context: Context) -> None:
        name = name_of_many(ids)
        self._submitted = self._unfinished = self._named(name)
        self._lineage_saw_id(name)
        try:
            if self.do_xcom_push:
                context["ti"].xcom_push(key=self.waits_for.id_name, value=ids)
        except Exception:  # must not end the wait for what was just submitted
            self.log.exception("The ids of the executions could not be stored as XCom")

    def _named(self, target_id: str) -> str:
        return f"The group of executions {target_id}"

    def _pulled_id(self, context: Context) -> str | None:
        ids = self._pulled(context)
        return name_of_many(ids) if isinstance(ids, list) else None

    def _end_inline(self, executions: ManyExecutions[Ended], deadline: datetime | None) -> bool:
        """Return whether all executions end while the worker looks for that: deferring takes longer than short ones."""
        inline = self._seconds_inline
        if deadline is not None:
            inline = min(inline, (deadline - datetime.now(UTC)).total_seconds())
        if inline <= 0:
            return False
        started = time.monotonic()
        with self._as_task_timeout():
            have_ended = self.whiterabbit_hook.run_async(lambda client: executions.look_for(client, inline))
        if have_ended:
            self._whiterabbit_metrics.waited(time.monotonic() - started)
        return have_ended

    def _wait_in_worker(self, ids: list[str], deadline: datetime | None, context: Context) -> list[dict[str, Any]]:
        metrics, hook = self._whiterabbit_metrics, self.whiterabbit_hook
        executions = self._executions(ids, metrics.observe)
        ends = None if deadline is None else deadline.timestamp()
        with self._as_task_timeout(), metrics.timing(WhiteRabbitTimeoutError):
            hook.run_async(
                lambda client: (
                    executions.wait(client, deadline=ends, poll_interval=self._poll_seconds)
                    if self._many is None or not self._many.have_ended
                    else executions.read(client)
                )
            )
        return self._results(executions, context)

    def execute_complete(self, context: Context, event: Any = None, identity: Any = None) -> list[dict[str, Any]]:
        """Read the records of the executions after the trigger's event, and return the task's result.

        :param event: the trigger's event.
        :param identity: ids of the executions; None in `dag.test()`, which hands on the event alone.
        """
        name = str(event.get(EXECUTIONS.id_name)) if isinstance(event, dict) else ""
        ids = list(identity or self._pulled(context) or self._deferred_here.get(name, ()))
        self._submitted = self._unfinished = self._named(name_of_many(ids))
        return self._results_after(event, ids, context)

    def _results(self, many: ManyExecutions[Ended], context: Context) -> list[dict[str, Any]]:
        self._unfinished = None
        for end in many.kept:
            if (other := other_module(end.record, self.module)) is not None:
                raise WhiteRabbitProtocolError(f"White Rabbit says that the execution {end.record.id} has {other}")
        return super()._results(many, context)

    def on_kill(self) -> None:
        """Submit no further inputs, and log what was not cancelled, because White Rabbit has no call for cancelling."""
        many = self._many
        if many is None:
            super().on_kill()
            return
        many.stop()
        if self._unfinished is not None and (ids := many.target_ids):
            more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
            self.log.warning(
                "%s; their executions may still be running at White Rabbit, and were not cancelled: %s%s",
                many,
                ", ".join(ids[:_SHOWN]),
                more,
            )
