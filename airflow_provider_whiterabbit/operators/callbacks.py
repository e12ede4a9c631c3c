"""`WhiteRabbitReplayCallbacksOperator`: recovers callbacks that were lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError, WhiteRabbitNotFoundError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg

    from airflow_provider_whiterabbit.client.records.execution import Execution

Done = Literal["replayed", "delivered", "running", "without_callback", "unknown"]


class WhiteRabbitReplayCallbacksOperator(BaseOperator):
    """Has White Rabbit deliver the callbacks again that never arrived, and returns what it did.

    A callback is lost if nobody took it while White Rabbit tried: Airflow was down, refused it, or no DAG listened.
    Only executions that have ended, and whose record says that the callback was not delivered, are delivered again; so
    it may be run at any time and as often as one likes. The result is an object of lists of ids:

    - ``replayed``: White Rabbit was asked to deliver again, which it does a moment later;
    - ``delivered``: nothing to do, the callback had arrived;
    - ``running``: not ended yet;
    - ``without_callback``: submitted without a callback URL;
    - ``unknown``: White Rabbit knows no such execution.

    :param execution_ids: ids as a list, another task's output, or a template that gives a JSON array of them.
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

    def execute(self, context: Context) -> dict[Done, list[str]]:
        """Look at each execution, and have it delivered again if that is of use."""
        done: dict[Done, list[str]] = {
            "replayed": [],
            "delivered": [],
            "running": [],
            "without_callback": [],
            "unknown": [],
        }
        for execution_id in self._ids():
            done[self._settle(execution_id)].append(execution_id)
        self.log.info("%s", ", ".join(f"{what}: {len(ids)}" for what, ids in done.items()))
        return done

    def _ids(self) -> list[str]:
        """Return the ids, each once, in their order; nothing is sent if one of them can't be an id."""
        given: Any = self.execution_ids
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except ValueError:
                given = None
        if isinstance(given, str | bytes | dict) or not isinstance(given, Iterable):
            raise WhiteRabbitInputError("execution_ids must be a list of ids, or a template that gives a JSON array")
        return list(dict.fromkeys(checks.identifier(execution_id, "execution_ids") for execution_id in given))

    def _settle(self, execution_id: str) -> Done:
        try:
            done = _what_to_do(self._hook.get_execution(execution_id))
            if done == "replayed":
                self._hook.redeliver_callback(execution_id)
                self.log.info("Execution %s: its callback is delivered again", execution_id)
        except WhiteRabbitNotFoundError:
            return "unknown"
        return done

    @cached_property
    def _hook(self) -> WhiteRabbitHook:
        return WhiteRabbitHook(self.whiterabbit_conn_id)


def _what_to_do(execution: Execution) -> Done:
    if execution.callback is None or execution.callback.url is None:
        return "without_callback"
    if not execution.status.is_terminal:
        return "running"
    return "replayed" if execution.callback.delivered_at is None else "delivered"
