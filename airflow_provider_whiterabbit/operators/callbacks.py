"""`WhiteRabbitReplayCallbacksOperator`: asks White Rabbit to deliver lost callbacks again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.compat import BaseOperator
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.recovery import Recovery, ReplayOutcome
from airflow_provider_whiterabbit.operators.submissions import Progress, Submissions
from airflow_provider_whiterabbit.templated import TemplatedMixin, as_number, connection_id, literal_ids

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.compat import Context, XComArg
    from airflow_provider_whiterabbit.parameters import OperatorParameters, Rendered

MAX_REPLAYS = 3
"""After so many replays in vain, the operator fails its task."""


class WhiteRabbitReplayCallbacksOperator(TemplatedMixin, BaseOperator):
    """Asks White Rabbit to deliver lost callbacks again, and returns the ids of the executions, grouped by outcome.

    A callback is lost if nothing accepted it while White Rabbit tried: Airflow was down, Airflow refused it, or no DAG
    was scheduled on its asset. The operator asks again only for executions that have ended and whose record says that
    the callback was not delivered. It may therefore run at any time and any number of times. The result is an object
    with lists of execution ids:

    - ``replayed``: the operator asked White Rabbit to deliver the callback again, which takes a moment;
    - ``delivered``: there was nothing to do, because the callback had arrived;
    - ``running``: the execution has not ended yet;
    - ``without_callback``: the execution was submitted without a callback URL;
    - ``unknown``: White Rabbit has no such execution;
    - ``failed``: the execution's record could not be read, or White Rabbit refused to deliver the callback again. The
      task then fails after it has looked at the other executions.

    With `submitted`, the operator looks at all executions that were submitted since its last run that saw everything,
    and again at those whose callback was not delivered then. It keeps its progress in the asset's state store (before
    Airflow 3.3: in an Airflow variable), for each asset and connection. If a callback is not delivered although it was
    replayed `max_replays` times, the task replays it again and then fails without retries, at each run until the
    callback is delivered. The message contains White Rabbit's last error.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`recover-lost-callbacks`

    :param execution_ids: ids as a list, another task's output, or a template that renders to a JSON array of ids.
    :param submitted: an Airflow asset, given instead of `execution_ids`. The ``extra`` of its events holds the id of an
        execution as ``execution_id``. The asset becomes an inlet of the task. A mapped task needs `inlets` as well.
    :param whiterabbit_conn_id: id of the connection that the executions were submitted with; templated.
    :param max_replays: how many replays of a callback may be in vain before the task fails, from 1; with `submitted`.
        Templated.
    :param ignore: ids of executions whose callbacks are given up, as for `execution_ids`; templated.
    """

    ui_color = "#e9e1f5"
    template_fields: Sequence[str] = ("execution_ids", "whiterabbit_conn_id", "max_replays", "ignore")

    def __init__(
        self,
        *,
        execution_ids: Iterable[str] | str | XComArg | None = None,
        submitted: Any = None,
        whiterabbit_conn_id: str | XComArg = WhiteRabbitHook.default_conn_name,
        max_replays: int | Rendered = MAX_REPLAYS,
        ignore: Iterable[str] | str | XComArg = (),
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        if submitted is not None:
            inlets = list(kwargs.get("inlets") or ())
            kwargs["inlets"] = inlets if submitted in inlets else [*inlets, submitted]
        super().__init__(**kwargs)
        self.execution_ids = self._unless_template(
            execution_ids, lambda ids: None if ids is None else literal_ids(ids, "execution_ids")
        )
        self.submitted = self._unless_mapped(submitted, self._checked_source)
        self.whiterabbit_conn_id = self._unless_template(whiterabbit_conn_id, connection_id)
        self.max_replays: Any = self._unless_template(max_replays, _max_replays)
        self.ignore = self._unless_template(ignore, lambda ids: literal_ids(ids, "ignore"))

    def execute(self, context: Context) -> dict[ReplayOutcome, list[str]]:
        """Read each execution's record, and ask White Rabbit to deliver the callback again if the callback was lost.

        :raises AirflowFailException: if callbacks were replayed in vain.
        :raises WhiteRabbitError: if callbacks could not be replayed.
        """
        self._checked_source(self.submitted)
        ignore = self._different_ids("ignore")
        max_replays = self._checked_argument("max_replays", _max_replays)
        if self.submitted is None:
            recovery = Recovery(self._hook, Progress(), max_replays, ignore)
            ids = self._different_ids("execution_ids")
            for execution_id in ids:
                recovery.look_at(execution_id)
        else:
            recovery = self._recover(context, max_replays, ignore)
        self.log.info("%s", ", ".join(f"{outcome}: {len(ids)}" for outcome, ids in recovery.outcomes.items()))
        recovery.raise_if_failed()
        return recovery.outcomes

    def _recover(self, context: Any, max_replays: int, ignore: list[str]) -> Recovery:
        submissions = Submissions(self.submitted, context, self.whiterabbit_conn_id)
        progress = submissions.progress
        recovery = Recovery(self._hook, progress, max_replays, ignore)
        known = list(progress.open)
        try:
            # The new ones first: earlier ones that cannot be read now must not keep the recovery from them.
            for execution_id in submissions.new():
                if execution_id not in progress.open:
                    recovery.look_at(execution_id)
            for execution_id in known:
                recovery.look_at(execution_id)
        finally:
            submissions.save()
        return recovery

    @cached_property
    def _hook(self) -> WhiteRabbitHook:
        return WhiteRabbitHook(self._checked_argument("whiterabbit_conn_id", connection_id))

    def _different_ids(self, name: str) -> list[str]:
        """Return the ids of an argument without duplicates, in the given order."""
        return list(dict.fromkeys(self._checked_ids(name)))

    def _checked_source(self, submitted: Any) -> Any:
        if (submitted is None) == (self.execution_ids is None):
            raise WhiteRabbitInputError("give execution_ids or submitted, and not both")
        if submitted is not None and not _is_asset(submitted):
            raise WhiteRabbitInputError(
                f"submitted must be an Airflow asset, and can't be a template; got {submitted!r:.100}"
            )
        return submitted


def _is_asset(value: Any) -> bool:
    """Return whether a value is one Airflow asset, or a reference to it by its URI.

    The progress belongs to one asset. An alias may stand for several, and has no state store of its own.
    """
    return isinstance(getattr(value, "uri", None), str)


def _max_replays(value: Any) -> int:
    number = as_number(value)
    if type(number) is not int or number < 1:
        raise WhiteRabbitInputError(f"max_replays must be an integer of at least 1, got {number!r:.100}")
    return number
