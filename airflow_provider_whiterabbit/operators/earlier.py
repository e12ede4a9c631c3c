"""What an operator does about an earlier submission of its task: take it, submit anew, fail, or ask a person."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, cast, get_args

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.compat import AirflowException, AirflowFailException
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.operators.doubt import (
    Doubt,
    Found,
    OnDoubt,
    OnFailedExecution,
    Search,
    configured_on_doubt,
)
from airflow_provider_whiterabbit.operators.fence import Fence, fence_of
from airflow_provider_whiterabbit.operators.fence.replaced import refuse_replaced
from airflow_provider_whiterabbit.operators.submission import Submission, Way
from airflow_provider_whiterabbit.waiting import WaitingMixin, is_nested

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context
    from airflow_provider_whiterabbit.operators.question import Question

OnClear = Literal["resubmit", "reattach"]


class EarlierMixin(WaitingMixin):
    """Mixin for operators that find what an earlier try of their task submitted."""

    on_failed_execution: Any
    on_doubt: Any
    on_clear: Any
    """Words of `_failed_choices`, `OnDoubt` and `OnClear`, or templates of them."""

    _failed_choices: ClassVar[Any] = OnFailedExecution

    assigned_users: list[dict[str, str]] | None

    _submitted: str | None = None
    """What this task has submitted, in this try or an earlier one, as part of a sentence."""

    _answered = False
    """Whether a person has answered a question of this try."""

    @property
    @abstractmethod
    def submission_name(self) -> str:
        """The name of the submitted component or workflow in messages, such as ``component PAY``."""

    @abstractmethod
    def _execute(self, context: Context, fence: Fence, started: datetime | None) -> Any:
        """Find or submit, then wait.

        :param started: from when the task's timeout counts.
        """

    def _submission_values(self) -> dict[str, Any]:
        """Return the arguments of the submission that a person must see to settle a doubt."""
        return {}

    def _chosen(self, name: str, choices: Any) -> Any:
        """Return the word that a rendered argument holds.

        :param choices: a `Literal` with the words that it may hold.
        :raises WhiteRabbitInputError: if it is another word.
        """
        return self._checked_argument(name, lambda word: checks.choice(word, name, get_args(choices)))

    @property
    def _resubmits_failed(self) -> bool:
        return bool(self._chosen("on_failed_execution", self._failed_choices) == "resubmit")

    @property
    def _resubmits_cleared(self) -> bool:
        return bool(self._chosen("on_clear", OnClear) == "resubmit")

    def _doubt_option(self) -> OnDoubt:
        if self._rendered_argument("on_doubt") is not None:
            return cast(OnDoubt, self._chosen("on_doubt", OnDoubt))
        return configured_on_doubt()

    def _named(self, target_id: str) -> str:
        return f"The {self.waits_for.noun} {target_id}"

    def _earlier_submission(self, fence: Fence) -> Submission | None:
        """Read what an earlier try of the task submitted; None if there is nothing."""
        earlier = fence.earlier()
        if earlier is not None and earlier.target_id is not None:
            self._submitted = self._named(earlier.target_id)
        return earlier

    def _earlier(self, earlier: Submission | None, fence: Fence, context: Context) -> Found | None:
        """Return the earlier submission that the task takes; None if the task must submit now."""
        if self._resubmits_failed and not fence.survives_retries:
            self.log.warning("on_failed_execution='resubmit' needs Airflow 3.3 or newer; here a retry never resubmits")
        for risk in () if self._answered else fence.risks(earlier):
            self.log.warning("%s", risk)
        found = None if earlier is None else self._search(fence).result(earlier)
        if isinstance(found, Doubt):
            self._settle(found, fence, context)
            return None
        if found is None and self._doubt_option() != "resubmit" and fence.asks_for_more_than(earlier):
            refuse_replaced(Way.ONE, context)
        return found

    def _search(self, fence: Fence) -> Search:
        return Search(
            fence=fence,
            target=self.waits_for,
            subject=self.submission_name,
            module=getattr(self, "module", None),
            read=lambda target_id: self.whiterabbit_hook.get_conn().read(self.waits_for.followed(target_id)),
            resubmits_cleared=self._resubmits_cleared,
            may_resubmit=lambda record: self._may_resubmit(record, fence.survives_retries),
        )

    def _settle(self, doubt: Doubt, fence: Fence, context: Context) -> None:
        """Settle a doubt as the DAG says: end the task, ask a person, or return to submit anew."""
        if self._doubt_option() != "resubmit":
            self._fail_or_ask(doubt, fence, context)
        self._whiterabbit_metrics.count(Metric.DOUBTS)
        self.log.warning("Submitting anew, because on_doubt is 'resubmit' (doubt: %s). %s", doubt.kind, doubt.text)

    def _fail_or_ask(self, doubt: Doubt, fence: Fence, context: Context) -> NoReturn:
        self._whiterabbit_metrics.count(Metric.DOUBTS)
        doubt.note(fence)
        if self._doubt_option() == "ask":
            self._ask(doubt, fence, context)
        raise AirflowFailException(doubt.message(fence))

    def _ask(self, doubt: Doubt, fence: Fence, context: Context) -> None:
        """Park the task until a person answers; return if this Airflow can't."""
        from airflow_provider_whiterabbit.operators.question import obstacle

        reason = obstacle() if fence.survives_retries else "Airflow is older than 3.3"
        if is_nested(self, context):
            reason = "the operator is executed in the code of another task"
        if reason is not None:
            self.log.warning("The task fails instead of asking a person: %s", reason)
            return
        if self._answered and not doubt.problem:
            # Within one try, Airflow 3.3 shows the text and the options of the first question again.
            raise AirflowException(
                f"{doubt.text} (Doubt: {doubt.kind}.) A later try of this task asks about it. {fence.remedy}"
            )
        self.log.warning("Asking a person. %s", doubt.text)
        self._question(doubt).ask(context, "execute_answered", self.assigned_users)

    def _question(self, doubt: Doubt) -> Question:
        from airflow_provider_whiterabbit.operators.question import Question

        settings, target_id = self.whiterabbit_hook.get_conn().settings, doubt.earlier.target_id
        return Question(
            doubt=doubt,
            noun=self.waits_for.noun,
            field=self.waits_for.id_name,
            subject=self.submission_name,
            facts={"Connection": self.whiterabbit_conn_id, "Submitted": doubt.earlier.at},
            values=self._submission_values(),
            link=None if target_id is None else settings.link_to(self.waits_for, target_id),
        )

    def execute_answered(self, context: Context, event: Any = None) -> Any:
        """Continue after a person has answered the question of ``on_doubt="ask"``.

        :param event: Airflow's event with the answer: ``{"chosen_options": […], "params_input": {…}, …}``.
        """
        from airflow_provider_whiterabbit.operators.question import answer_in

        answer = answer_in(event, self.waits_for.id_name)
        self.log.info("%(by)s answered %(choice)r at %(at)s", answer)
        self._submitted, self._answered = None, True
        fence = fence_of(context, self.submission_name)
        if answer["choice"] == "stop":
            self._stop(fence, answer)
        earlier = self._earlier_submission(fence)
        if earlier is None or earlier.settled != answer:  # else a try that was killed has obeyed it already
            fence.note(answer=answer)
        return self._execute(context, fence, datetime.now(UTC))

    def _stop(self, fence: Fence, answer: dict[str, Any]) -> NoReturn:
        try:
            fence.note(answer=answer)
        except Exception:  # must not keep the retries, which would ask again
            self.log.exception("The answer could not be stored")
        raise AirflowFailException(f"Stopped by the answer of {answer['by']}; nothing was submitted now")

    def _may_resubmit(self, record: Any, survives_retries: bool) -> bool:
        return bool(record.failed and self._resubmits_failed and survives_retries)
