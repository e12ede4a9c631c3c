"""`WhiteRabbitReplayCallbacksOperator`: asks White Rabbit to deliver lost callbacks again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.compat import BaseOperator
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError, WhiteRabbitNotFoundError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.records.execution import Execution
    from airflow_provider_whiterabbit.compat import Context, XComArg

ReplayOutcome = Literal["replayed", "delivered", "running", "without_callback", "unknown"]


class WhiteRabbitReplayCallbacksOperator(BaseOperator):
    """Asks White Rabbit to deliver lost callbacks again, and returns the ids of the executions, grouped by outcome.

    A callback is lost if nothing accepted it while White Rabbit tried: Airflow was down, Airflow refused it, or no DAG
    was scheduled on its asset. The operator asks again only for executions that have ended and whose record says that
    the callback was not delivered. It may therefore run at any time and any number of times. The result is an object
    with lists of execution ids:

    - ``replayed``: the operator asked White Rabbit to deliver the callback again, which takes a moment;
    - ``delivered``: there was nothing to do, because the callback had arrived;
    - ``running``: the execution has not ended yet;
    - ``without_callback``: the execution was submitted without a callback URL;
    - ``unknown``: White Rabbit has no such execution.

    :param execution_ids: ids as a list, another task's output, or a template that renders to a JSON array of ids.
    :param whiterabbit_conn_id: id of the connection that the executions were submitted with; templated.
    """

    template_fields: Sequence[str] = ("execution_ids", "whiterabbit_conn_id")

    def __init__(
        self,
        *,
        execution_ids: Iterable[str] | str | XComArg,
        whiterabbit_conn_id: str = WhiteRabbitHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.execution_ids = execution_ids
        self.whiterabbit_conn_id = whiterabbit_conn_id

    def execute(self, context: Context) -> dict[ReplayOutcome, list[str]]:
        """Read each execution's record, and ask White Rabbit to deliver the callback again if the callback was lost."""
        ids_by_outcome: dict[ReplayOutcome, list[str]] = {outcome: [] for outcome in get_args(ReplayOutcome)}
        for execution_id in self._checked_ids():
            ids_by_outcome[self._replay_if_lost(execution_id)].append(execution_id)
        self.log.info("%s", ", ".join(f"{outcome}: {len(ids)}" for outcome, ids in ids_by_outcome.items()))
        return ids_by_outcome

    def _checked_ids(self) -> list[str]:
        """Return the execution ids without duplicates, in the given order.

        :raises WhiteRabbitInputError: if they are not a list of ids; nothing has been sent then.
        """
        execution_ids: Any = self.execution_ids
        if isinstance(execution_ids, str):
            try:
                execution_ids = json.loads(execution_ids)
            except ValueError:
                execution_ids = None
        if isinstance(execution_ids, str | bytes | dict) or not isinstance(execution_ids, Iterable):
            raise WhiteRabbitInputError(
                "execution_ids must be a list of ids, or a template that renders to a JSON array of ids"
            )
        return list(dict.fromkeys(checks.identifier(execution_id, "execution_ids") for execution_id in execution_ids))

    def _replay_if_lost(self, execution_id: str) -> ReplayOutcome:
        try:
            outcome = _replay_outcome(self._hook.get_execution(execution_id))
            if outcome == "replayed":
                self._hook.redeliver_callback(execution_id)
                self.log.info("Asked White Rabbit to deliver the callback of execution %s again", execution_id)
        except WhiteRabbitNotFoundError:
            return "unknown"
        return outcome

    @cached_property
    def _hook(self) -> WhiteRabbitHook:
        return WhiteRabbitHook(self.whiterabbit_conn_id)


def _replay_outcome(execution: Execution) -> ReplayOutcome:
    if execution.callback is None or execution.callback.url is None:
        return "without_callback"
    if not execution.is_terminal:
        return "running"
    return "replayed" if execution.callback.delivered_at is None else "delivered"
