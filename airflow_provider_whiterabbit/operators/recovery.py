"""Replays the callbacks that were lost, and tells which of them were replayed in vain."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, get_args

from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitInvalidRequestError,
    WhiteRabbitNotFoundError,
    WhiteRabbitProtocolError,
    WhiteRabbitRateLimitError,
    WhiteRabbitServerError,
    WhiteRabbitTransportError,
)
from airflow_provider_whiterabbit.masking import masked_error
from airflow_provider_whiterabbit.operators.submissions import Progress, Tries

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.records.execution import Callback
    from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

log = logging.getLogger(__name__)

ReplayOutcome = Literal["replayed", "delivered", "running", "without_callback", "unknown", "failed"]

OUTAGES = (WhiteRabbitRateLimitError, WhiteRabbitServerError, WhiteRabbitTransportError)
"""Errors that may concern one execution, or all of them because White Rabbit is down."""

OUTAGES_IN_A_ROW = 5
"""After so many errors of `OUTAGES` in a row, the recovery stops until its next run."""

MISSES = 3
"""After so many runs in which White Rabbit does not know an execution, the recovery forgets the execution."""

SHOWN = 10
"""How many executions the message of a failed task names."""


class Recovery:
    """Replays the lost callbacks of executions one by one, and remembers how often.

    :param hook: calls White Rabbit.
    :param progress: what earlier runs have tried; this run adds to it.
    :param max_replays: see `WhiteRabbitReplayCallbacksOperator`.
    :param ignore: ids of executions that are skipped and forgotten.

    `outcomes` holds the ids of the executions that were looked at.
    """

    def __init__(
        self, hook: WhiteRabbitHook, progress: Progress, max_replays: int, ignore: Collection[str] = ()
    ) -> None:
        self.outcomes: dict[ReplayOutcome, list[str]] = {outcome: [] for outcome in get_args(ReplayOutcome)}
        self._hook = hook
        self._open = progress.open
        self._max_replays = max_replays
        self._looked_at: set[str] = set()
        self._ignore = frozenset(ignore)
        self._in_vain: list[str] = []
        self._errors: list[str] = []
        self._outages = 0

    def look_at(self, execution_id: str) -> None:
        """Read an execution's record, and replay its callback if it was lost; do nothing if that was done already.

        :raises WhiteRabbitError: if White Rabbit refuses the API key, or seems to be down.
        """
        if execution_id in self._looked_at:
            return
        self._looked_at.add(execution_id)
        if execution_id in self._ignore:
            self._open.pop(execution_id, None)
            return
        tries = self._open.setdefault(execution_id, Tries())
        outcome = self._outcome(execution_id, tries)
        self.outcomes[outcome].append(execution_id)
        if outcome in ("delivered", "without_callback") or tries.misses >= MISSES:
            del self._open[execution_id]

    def raise_if_failed(self) -> None:
        """Raise an error that says which callbacks were replayed in vain, or could not be replayed.

        :raises AirflowFailException: if callbacks were replayed in vain: a retry of the task would not change that.
        :raises WhiteRabbitError: if there are only others that could not be replayed.
        """
        if self._in_vain:
            raise AirflowFailException(
                f"Callbacks are not delivered although they were replayed {self._max_replays} times or more: "
                f"{_listed(self._in_vain)}. White Rabbit's last error says why"
            )
        if self._errors:
            raise WhiteRabbitError(f"Callbacks could not be replayed: {_listed(self._errors)}")

    def _outcome(self, execution_id: str, tries: Tries) -> ReplayOutcome:
        try:
            outcome = self._replay_if_lost(execution_id, tries)
        except WhiteRabbitNotFoundError:
            tries.misses += 1
            log.warning("White Rabbit does not know the execution %s", execution_id)
            outcome = "unknown"
        except (WhiteRabbitInvalidRequestError, WhiteRabbitProtocolError, *OUTAGES) as error:
            self._errors.append(f"{execution_id}: {clean(str(error), 300)}")
            log.error("The callback of execution %s could not be replayed: %s", execution_id, error)
            # The next run looks at the others first: a few that can never be read must not keep it from them.
            self._open[execution_id] = self._open.pop(execution_id)
            self._outages = self._outages + 1 if isinstance(error, OUTAGES) else 0
            if self._outages >= OUTAGES_IN_A_ROW:
                raise
            return "failed"
        self._outages = 0
        return outcome

    def _replay_if_lost(self, execution_id: str, tries: Tries) -> ReplayOutcome:
        execution = self._hook.get_execution(execution_id)
        callback = execution.callback
        if callback is None or callback.url is None:
            return "without_callback"
        if not execution.is_terminal:
            return "running"
        if callback.delivered_at is not None:
            return "delivered"
        state = _state(callback)
        if tries.count_in_vain(callback.attempt_count, self._max_replays):
            log.error(
                "The callback of execution %s was replayed %d times in vain: %s", execution_id, tries.replays, state
            )
            self._in_vain.append(f"{execution_id} ({state})")
        self._hook.redeliver_callback(execution_id)
        tries.replays, tries.attempts = tries.replays + 1, callback.attempt_count
        log.info("Asked White Rabbit to deliver the callback of execution %s again: %s", execution_id, state)
        return "replayed"


def _state(callback: Callback) -> str:
    """Return how the delivery of a callback went so far, for messages."""
    from airflow_provider_whiterabbit.client.records.fields import error_text  # a DAG file does not need it

    attempts = "unknown" if callback.attempt_count is None else callback.attempt_count
    error = "none" if callback.last_error is None else error_text(masked_error(callback.last_error), 200)
    return f"attempts: {attempts}, last error: {error}"


def _listed(texts: list[str]) -> str:
    more = f"; and {len(texts) - SHOWN} more, see the log" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more
