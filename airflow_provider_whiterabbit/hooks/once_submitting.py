"""What `Once` submits: finds or submits what stands under a key, at most once across the tries of a task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_whiterabbit.client.retry import is_refused
from airflow_provider_whiterabbit.client.wait.target import Target
from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitInputError,
    WhiteRabbitUncertainSubmissionError,
)
from airflow_provider_whiterabbit.hooks.once_types import Asked, Caller, Taken, metrics_of
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.tasks import TaskMetrics
from airflow_provider_whiterabbit.operators.doubt import Doubt, Found, Search
from airflow_provider_whiterabbit.operators.fence import Fence, keyed_fence_of
from airflow_provider_whiterabbit.operators.fence.guarded_store import check_process
from airflow_provider_whiterabbit.operators.fence.keyed import records_of
from airflow_provider_whiterabbit.operators.fence.replaced import refuse_replaced
from airflow_provider_whiterabbit.operators.submission import Submission, Way, digest

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.compat import Context

log = logging.getLogger(__name__)


class KeyedSubmissions:
    """Submits at most once under each key. It is thread-safe.

    :param on_doubt: ``fail`` or ``resubmit``, as `on_failed_execution`.
    :param resubmits_cleared: whether what has ended is submitted anew after the task was cleared. By default it is not:
        whoever clears a task that has done half of its work means the other half.
    :param is_quiet: whether the ids of submissions are logged for developers only.
    """

    def __init__(
        self,
        caller: Caller,
        context: Context,
        on_doubt: str,
        on_failed_execution: str,
        *,
        resubmits_cleared: bool = False,
        is_quiet: bool = False,
    ) -> None:
        self._caller = caller
        self._context = context
        self._on_doubt = on_doubt
        self._resubmits_failed = on_failed_execution == "resubmit"
        self._resubmits_cleared = resubmits_cleared
        self._records = records_of(context)
        if is_quiet:
            self._records.log_level = logging.DEBUG

    def take(
        self, key: str, target: Target[Any], subject: str, module: str | None, named: Request, filled: Request
    ) -> tuple[Any, Taken]:
        """Find or submit what stands under a key; return the answer to the submission, or None, and what stands there.

        :param named: the request with the names of secrets in it.
        :param filled: the request to send.
        """
        check_process(self._context["ti"])
        with self._records.lock_of(key):
            asked = self.ask(key, target, subject, module, named)
            taken: Taken | None = self._records.taken.get(key)
            if taken is not None and taken.request != asked.fence.request:
                raise WhiteRabbitInputError(
                    f"The key {key!r} stands for another request in this try already, for {taken.subject}, and a key "
                    f"stands for one request. Nothing was submitted now for {subject}"
                )
            if taken is not None:
                return None, taken
            if self.find(asked):
                return None, asked.taken
            if asked.is_new:
                self.refuse_replaced(Way.CODE)
            return self.submit(asked, filled), asked.taken

    def refuse_replaced(self, way: Way) -> None:
        """Refuse to submit anew if the task may have submitted the same in another way, before its DAG was changed.

        :raises AirflowFailException: if it may have.
        """
        if self._on_doubt != "resubmit":
            refuse_replaced(way, self._context)

    def ask(self, key: str, target: Target[Any], subject: str, module: str | None, named: Request) -> Asked:
        """Return what the task asks for under a key, before it is found or submitted.

        :param named: the request with the names of secrets in it.
        """
        fence = keyed_fence_of(self._context, subject, self._records, key, resubmits_cleared=self._resubmits_cleared)
        fence.request = digest(named, self._caller.whiterabbit_conn_id, self._context["ti"], key)
        taken = Taken(target, subject, module, fence.request, "")
        return Asked(key, taken, fence, self._search(fence, target, subject, module))

    def find(self, asked: Asked) -> bool:
        """Take what an earlier try has submitted under a key; return whether there is something to take."""
        key, taken, fence = asked.key, asked.taken, asked.fence
        earlier = fence.earlier()
        self._warn_of_risks(fence)
        asked.is_new = fence.asks_for_more_than(earlier)
        if earlier is None:
            return False
        found = asked.search.result(earlier)
        if isinstance(found, Found) and (owner := self._records.owner(found.target_id, key)) != key:
            found = asked.search.belongs_to(owner, found)
        if isinstance(found, Doubt):
            self._settle(key, found, fence, taken.target)
            return False
        if found is None:
            return False
        taken.target_id, taken.record = found.target_id, found.record
        self._records.taken[key] = taken
        # Else the record says all of this already. But after a clear that submits anew, it says that it is of before.
        if self._resubmits_cleared or earlier.answer or earlier.request is None:
            fence.adopt(found.target_id, earlier)
        self._metrics(taken.target).count(Metric.REATTACHED, module=taken.module)
        return True

    @property
    def attempts(self) -> int:
        """How often a call is attempted at most."""
        return self._caller.get_conn().settings.request_attempts

    def submit(
        self,
        asked: Asked,
        request: Request,
        attempts: int | None = None,
        on_error: Callable[[WhiteRabbitError], None] = lambda _: None,
    ) -> Any:
        """Submit what stands under a key; return the answer.

        :param request: the request with the secrets in it.
        :param attempts: how often to send it at most, if nothing has received it; None for as often as other calls.
        :param on_error: is told of an error before it is recorded and raised.
        """
        key, taken, fence = asked.key, asked.taken, asked.fence

        def keep(target_id: str) -> None:
            intent.check_is_new(target_id)
            owner = self._records.owner(target_id, key)
            if owner != key:  # one of the two submissions may not run
                raise WhiteRabbitUncertainSubmissionError(
                    f"White Rabbit's answer has the id {target_id}, which is the id of {owner} already"
                )
            taken.target_id = target_id
            self._records.taken[key] = taken
            fence.adopt(target_id)
            self._metrics(taken.target).count(Metric.SUBMITTED, module=taken.module)

        client = self._caller.get_conn()
        intent = fence.intend()  # from here on, time-outs, signals and kills leave the intent in the store
        try:
            return client.submit(request, taken.target, keep, attempts)
        except WhiteRabbitUncertainSubmissionError as error:
            on_error(error)
            if self._on_doubt != "resubmit":  # else the retry submits anew
                self._fail(key, asked.search.uncertain(intent, error), fence, taken.target)
            raise
        except WhiteRabbitError as error:
            on_error(error)
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
            read=lambda target_id: self.read(target, target_id),
            resubmits_cleared=self._resubmits_cleared,
            may_resubmit=self.may_resubmit,
            log_level=self._records.log_level,
        )

    def read(self, target: Target[Any], target_id: Any) -> Any:
        """Read the record of an execution or workflow run."""
        return self._caller.get_conn().read(target.followed(target_id))

    def may_resubmit(self, record: Any) -> bool:
        """Return whether a retry submits anew what has ended with a record."""
        return bool(record.failed and self._resubmits_failed and self._records.survives_retries)

    def expect(self, threads: int) -> None:
        """Tell how many threads submit again and again: their records are then written together."""
        self._records.expect(threads)

    def earlier_keys(self) -> list[str]:
        """Return the keys under which there are records; before Airflow 3.3, there are none."""
        return self._records.keys() if self._records.survives_retries else []

    def untouched(self) -> list[str]:
        """Return the keys under which earlier tries have submitted what this one did not ask for."""
        return [key for key in self.earlier_keys() if key not in self._records.taken]

    def is_cleared(self, key: str) -> bool:
        """Return whether the task was cleared since it has submitted under a key, and a clear means to submit anew."""
        if not self._resubmits_cleared:
            return False
        fence = keyed_fence_of(self._context, "", self._records, key, resubmits_cleared=True)
        earlier = fence.earlier()
        return earlier is not None and fence.is_cleared(earlier) is True

    def _metrics(self, target: Target[Any]) -> TaskMetrics:
        return metrics_of(self._caller, target)

    def _warn_of_risks(self, fence: Fence) -> None:
        if self._records.warned:
            return
        self._records.warned = True
        for risk in fence.risks(Submission(None) if self.earlier_keys() else None):
            log.warning("%s", risk)
