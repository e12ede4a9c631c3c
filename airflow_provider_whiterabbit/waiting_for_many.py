"""What all tasks that wait for many executions share: their arguments, the ends, and the list of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias, get_args

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.text import one_line
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.ending.storable import check_storable
from airflow_provider_whiterabbit.ending.verdict import ended_id, name_of_many
from airflow_provider_whiterabbit.hooks.many import result_of
from airflow_provider_whiterabbit.masking import failure_of
from airflow_provider_whiterabbit.observing.lineage import SeenRun
from airflow_provider_whiterabbit.templated import flag
from airflow_provider_whiterabbit.waiting import WaitingMixin, is_nested

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.many import ManyExecutions
    from airflow_provider_whiterabbit.client.wait.occurrences import Observer
    from airflow_provider_whiterabbit.compat import Context

OnFailedExecutions: TypeAlias = Literal["fail", "return"]

MAX_FAILURES = 5
"""How many executions that have failed the error of the task names."""

_MAX_FAILURE = 300


class Ended(NamedTuple):
    """What is kept of an execution that has ended: its result, and the record without the output."""

    result: dict[str, Any]
    record: Any

    @classmethod
    def of(cls, record: Any, *, outputs: bool) -> Self:
        """Return what is kept of a record."""
        return cls(result_of(record, outputs=outputs), replace(record, output=None, raw={}))


def failed_choice(value: Any) -> str:
    """Return the word that says what happens if some executions have failed.

    :raises WhiteRabbitInputError: if it is another word.
    """
    return checks.choice(value, "on_failed_execution", get_args(OnFailedExecutions))


class WaitingForManyMixin(WaitingMixin):
    """Mixin for Airflow tasks that wait for many executions, and return a list of their results."""

    outputs: Any
    on_failed_execution: Any

    @property
    def _has_outputs(self) -> bool:
        return self._checked_argument("outputs", lambda value: flag(value, "outputs"))

    @property
    def _returns_failures(self) -> bool:
        return self._checked_argument("on_failed_execution", failed_choice) == "return"

    def _executions(self, ids: Sequence[str], observe: Observer | None = None) -> ManyExecutions[Ended]:
        from airflow_provider_whiterabbit.client.transport.many import ManyExecutions
        from airflow_provider_whiterabbit.client.wait.occurrences import ignore

        return ManyExecutions(ids, self._kept, self.whiterabbit_hook.timing, observe or ignore)

    def _kept(self, record: Any) -> Ended:
        """Return what is kept of an execution that has ended."""
        return Ended.of(record, outputs=self._has_outputs)

    def _results_after(self, event: Any, ids: Sequence[str], context: Context) -> list[dict[str, Any]]:
        """Read the records of the executions after the trigger's event, and return the task's result."""
        with self._as_task_timeout():
            ended_id(event, self.waits_for, name_of_many(ids))
        self._unfinished = None
        self._hide_named_secrets()
        many = self._executions(ids)
        self.whiterabbit_hook.run_async(many.read)
        return self._results(many, context)

    def _results(self, many: ManyExecutions[Ended], context: Context) -> list[dict[str, Any]]:
        """Return the task's result.

        :raises AirflowFailException: if some executions have failed, and this fails the task.
        :raises WhiteRabbitOutputError: if Airflow is to store the result as XCom, and can't.
        """
        ends = many.kept
        different = {end.record.id: end for end in ends}.values()
        failed = [end for end in different if not end.record.succeeded]
        failure = _failure(failed, len(different)) if failed else None
        self.log.info("Executions: %s", many)
        self._push_usage(context, many)
        for end in different:
            self._whiterabbit_metrics.ended(end.record)
        if ends:
            status = str((failed or ends)[0].record.status)
            name = name_of_many([end.record.id for end in ends])
            failed_with = None if self._returns_failures else failure
            self._lineage_seen = SeenRun(name, status, many.total_usage, failure=failed_with)
        if failure is not None and not self._returns_failures:
            raise AirflowFailException(failure)
        if self.do_xcom_push and not is_nested(self, context):
            for end in different:
                for part in ("output", "error"):
                    check_storable(end.result.get(part), EXECUTION, end.record.id, part)
        return [end.result for end in ends]


def _failure(failed: Sequence[Ended], count: int) -> str:
    parts = [one_line(failure_of(end.record), _MAX_FAILURE) for end in failed[:MAX_FAILURES]]
    if len(failed) > MAX_FAILURES:
        parts.append(f"and {len(failed) - MAX_FAILURES:,} more")
    return f"{len(failed):,} of {count:,} executions did not complete: {'; '.join(parts)}"
