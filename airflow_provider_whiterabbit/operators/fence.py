"""At most one submission per generation of a task (its first run, or each clear by a user), whatever dies when.

Airflow 3.3+ has a store that survives retries, kills and clears. Directly before a POST the *intent* is written there,
directly after it the id of what was submitted. So whoever comes later finds nothing (submit), an id (reattach), or an
intent without an id: then it is not known whether the POST arrived, and a person has to look.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import tenacity
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

KEY = "whiterabbit_submission"
"""Where the record is in the task state store: ``{"id": …, "max_tries": …, "try_number": …, "at": …}``."""


UNKNOWN_TIME = "an unknown time"


@dataclass(frozen=True, slots=True)
class Submission:
    """What is known of an earlier submission.

    :param identity: its id; None if only the intent was written.
    :param max_tries: tells generations apart: a clear raises it, a retry leaves it. None if a person wrote the record.
    :param at: when, in words.
    """

    identity: str | None
    max_tries: int | None = None
    at: str = UNKNOWN_TIME


class Fence:
    """The record of one task instance's submission.

    :param what: names what is submitted, as ``component PAY``.
    """

    def __init__(self, context: Context, what: str) -> None:
        self._ti: Any = context["ti"]
        self._task: Any = context["task"]
        self._store: Any = context.get("task_state_store")
        self._what = what

    @property
    def is_kept(self) -> bool:
        """Whether this Airflow has a store that survives a retry (3.3+)."""
        return self._store is not None

    @property
    def is_retry(self) -> bool:
        """Whether this may not be the first try of its generation.

        The first is known by the retries that are left, all of them. After a change of `retries` in the DAG no other
        try than the very first seems to be one: it is safer to refuse than to submit twice.
        """
        before = self._ti.try_number - 1
        return bool(before > 0 and self._ti.max_tries != before + self._task.retries)

    def earlier(self) -> Submission | None:
        """Return the earlier submission, if there was one.

        :raises WhiteRabbitProtocolError: if there is a record, but none that can be understood.
        """
        value = self._store.get(KEY) if self.is_kept else None
        if value is None:
            return None
        if isinstance(value, str) and value:
            return Submission(value)
        if isinstance(value, dict) and isinstance(value.get("id"), str | None):
            max_tries = value.get("max_tries")
            known = max_tries if isinstance(max_tries, int) else None
            return Submission(value.get("id") or None, known, str(value.get("at") or UNKNOWN_TIME))
        raise WhiteRabbitProtocolError(f"The record of the submission is not understood: {value!r:.200}. {self.remedy}")

    def is_stale(self, earlier: Submission) -> bool:
        """Whether an earlier submission belongs to a generation that a user has cleared since."""
        return earlier.max_tries is not None and earlier.max_tries != self._ti.max_tries

    def intend(self) -> None:
        """Write down that a POST follows. If this fails, nothing was sent, and nothing must be."""
        if self.is_kept:
            self._write(None, None)

    def adopt(self, identity: str, at: str | None = None) -> None:
        """Write down the id, in the present generation.

        It is never in the way of the wait that follows: if it can't be written (after three attempts, which take half a
        minute where the API server is away), a retry will call it uncertain, which is safe, and the log has the id.

        :param at: when it was submitted; None for now.
        """
        log.info("The id of %s is %s", self._what, identity)
        if not self.is_kept:
            return
        try:
            tenacity.Retrying(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(1), reraise=True)(
                self._write, identity, at
            )
        except Exception:
            log.exception("The id could not be stored; a retry of this task will not know it")

    def withdraw(self) -> None:
        """Forget the intent: nothing was submitted, for certain."""
        if self.is_kept:
            try:
                self._store.delete(KEY)
            except Exception:
                log.exception("The intent could not be withdrawn; a retry of this task will call it uncertain")

    def uncertain(self, at: str) -> AirflowFailException:
        """Return the error for a submission of which it is not known whether it arrived; it ends all retries.

        :param at: which one, in words.
        """
        return AirflowFailException(
            f"It is not known whether White Rabbit got the submission of {self._what} {at}, so it was not sent "
            f"again: that could pay twice. Look for it in White Rabbit. {self.remedy}"
        )

    @property
    def remedy(self) -> str:
        """How a person settles it."""
        if not self.is_kept:
            return (
                "If there is nothing, clear this task; if it is there, wait for it with the sensor. (Airflow before "
                "3.3 keeps no ids across retries: set retries=0 for the runs to come, or "
                "on_uncertain_submission='resubmit' where submitting twice does no harm.)"
            )
        ti = self._ti
        path = "/".join(
            f"{name}/{quote(value, safe='')}"
            for name, value in (("dags", ti.dag_id), ("dagRuns", ti.run_id), ("taskInstances", ti.task_id))
        )
        where = f"/api/v2/{path}/state-store/{KEY}?map_index={ti.map_index}"
        return (
            f'If it is there, PUT {{"value": {{"id": "<its id>"}}}} to {where} of Airflow\'s REST API; if not, DELETE '
            "that. Then clear this task."
        )

    def _write(self, identity: str | None, at: str | None) -> None:
        from airflow.sdk.execution_time.context import NEVER_EXPIRE

        value = {
            "id": identity,
            "max_tries": self._ti.max_tries,
            "try_number": self._ti.try_number,
            "at": at or datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._store.set(KEY, value, retention=NEVER_EXPIRE)
