"""The guard against double submission: a task submits at most once, and once more after each clear by a user.

Airflow 3.3+ has a task state store that survives retries, kills and clears. Directly before the POST, the operator
stores an *intent* there; directly after it, the id of the execution or run. A later try then finds nothing and submits,
or finds an id and waits for it, or finds an intent without an id. In that last case it is not known whether the POST
arrived, and a person has to look.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import tenacity
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

KEY = "whiterabbit_submission"
"""Key of a submission in Airflow's task state store: ``{"id": …, "max_tries": …, "try_number": …, "at": …}``."""

UNKNOWN_TIME = "an unknown time"


@dataclass(frozen=True, slots=True)
class Submission:
    """What is known of a task's earlier submission to White Rabbit, such as the id and the time.

    :param target_id: id of the execution or run; None if it is not known whether the submission arrived.
    :param max_tries: Airflow's `max_tries` at that time. A clear raises it, a retry does not. None if a person wrote
        the record.
    :param at: when it was submitted.
    :param made: when or by whom, as part of a sentence.
    """

    target_id: str | None
    max_tries: int | None = None
    at: str = UNKNOWN_TIME
    made: str = ""


class Fence(ABC):
    """Guards one Airflow task instance against submitting to White Rabbit a second time.

    :param subject: names what is submitted, as ``component PAY``.
    """

    survives_retries: ClassVar[bool]
    """Whether a retry of the task finds what an earlier try submitted."""

    def __init__(self, context: Context, subject: str) -> None:
        self._ti: Any = context["ti"]
        self._subject = subject

    @abstractmethod
    def earlier(self) -> Submission | None:
        """Return the earlier submission of the task; None if the task has not submitted before.

        :raises WhiteRabbitProtocolError: if a stored record can't be read.
        """

    @abstractmethod
    def intend(self) -> None:
        """Store the intent to submit. If storing raises an error, no request was sent, and no request may be sent."""

    @abstractmethod
    def adopt(self, target_id: str, at: str | None = None) -> None:
        """Store the id of the submitted execution or workflow run. A failure to store the id is logged, never raised.

        :param at: when it was submitted; None for now.
        """

    @abstractmethod
    def withdraw(self) -> None:
        """Delete the intent to submit, because certainly nothing was submitted. A failure is logged, never raised."""

    @property
    @abstractmethod
    def remedy(self) -> str:
        """What a person has to do about a submission that may have arrived, as sentences for an error message."""

    def is_stale(self, earlier: Submission) -> bool:
        """Return whether a user has cleared the Airflow task since an earlier submission."""
        return earlier.max_tries is not None and earlier.max_tries != self._ti.max_tries

    def uncertain(self, made: str) -> AirflowFailException:
        """Return the exception for a submission that may have arrived; the exception ends the task without retries.

        :param made: when or by whom it was made, as part of a sentence.
        """
        return AirflowFailException(
            f"It is not known whether White Rabbit received the submission of {self._subject} {made}, so it was not "
            f"sent again: that could pay twice. Look for it in White Rabbit. {self.remedy}"
        )


class StoredFence(Fence):
    """Guards a task against a second submission by means of Airflow's task state store (Airflow 3.3+)."""

    survives_retries = True

    def __init__(self, context: Context, subject: str) -> None:
        super().__init__(context, subject)
        self._store: Any = context["task_state_store"]

    def earlier(self) -> Submission | None:
        """Return the task's earlier submission from Airflow's task state store; None if the store holds none."""
        stored = self._store.get(KEY)
        if stored is None:
            return None
        if isinstance(stored, str) and stored:
            return Submission(stored)
        if isinstance(stored, dict) and isinstance(stored.get("id"), str | None):
            max_tries = stored.get("max_tries")
            at = str(stored.get("at") or UNKNOWN_TIME)
            known_tries = max_tries if isinstance(max_tries, int) else None
            return Submission(stored.get("id") or None, known_tries, at, f"made at {at}")
        raise WhiteRabbitProtocolError(f"The stored submission record cannot be read: {stored!r:.200}. {self.remedy}")

    def intend(self) -> None:
        """Store the intent to submit in Airflow's task state store."""
        self._write(None, None)

    def adopt(self, target_id: str, at: str | None = None) -> None:
        """Store the submission's id in three attempts, which take half a minute while Airflow's API server is down.

        If all fail, a retry calls the submission uncertain, which is safe, and the log has the id.
        """
        log.info("Submitted %s as %s", self._subject, target_id)
        attempts = tenacity.Retrying(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(1), reraise=True)
        try:
            attempts(self._write, target_id, at)
        except Exception:
            log.exception("The id could not be stored; a retry of this task will not find it")

    def withdraw(self) -> None:
        """Delete the intent to submit from Airflow's task state store."""
        try:
            self._store.delete(KEY)
        except Exception:
            log.exception("The intent could not be deleted; a retry of this task will call the submission uncertain")

    @property
    def remedy(self) -> str:
        """The calls of Airflow's REST API with which a person settles a submission that may have arrived."""
        ti = self._ti
        path = "/".join(
            f"{name}/{quote(value, safe='')}"
            for name, value in (("dags", ti.dag_id), ("dagRuns", ti.run_id), ("taskInstances", ti.task_id))
        )
        record = f"/api/v2/{path}/state-store/{KEY}?map_index={ti.map_index}"
        return (
            f'If it is there, PUT {{"value": {{"id": "<its id>"}}}} to {record} of Airflow\'s REST API; if not, DELETE '
            "that. Then clear this task."
        )

    def _write(self, target_id: str | None, at: str | None) -> None:
        from airflow.sdk.execution_time.context import NEVER_EXPIRE

        record = {
            "id": target_id,
            "max_tries": self._ti.max_tries,
            "try_number": self._ti.try_number,
            "at": at or datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._store.set(KEY, record, retention=NEVER_EXPIRE)


class StorelessFence(Fence):
    """Guards a task in Airflow before 3.3, which has no task state store: a retry fails rather than submits again."""

    survives_retries = False

    def __init__(self, context: Context, subject: str) -> None:
        super().__init__(context, subject)
        self._task: Any = context["task"]

    def earlier(self) -> Submission | None:
        """Return an uncertain submission in a retry; None in the task's first try and in the first try after a clear.

        In the first try all retries are left. After a change of `retries` in the DAG only the very first try counts as
        one: it is safer to refuse than to submit twice.
        """
        tries_before = self._ti.try_number - 1
        if tries_before > 0 and self._ti.max_tries != tries_before + self._task.retries:
            return Submission(None, made="made by an earlier try")
        return None

    def intend(self) -> None:
        """Store nothing, because Airflow before 3.3 has no task state store."""

    def adopt(self, target_id: str, at: str | None = None) -> None:
        """Log the id of the submitted execution or workflow run."""
        log.info("Submitted %s as %s", self._subject, target_id)

    def withdraw(self) -> None:
        """Delete nothing, because Airflow before 3.3 has no task state store."""

    @property
    def remedy(self) -> str:
        """What a person has to do about a submission that may have arrived, in Airflow before 3.3."""
        return (
            "If it is not there, clear this task; if it is there, wait for it with the sensor. (Before version 3.3, "
            "Airflow keeps no ids across retries. For future runs, set retries=0, or "
            "on_uncertain_submission='resubmit' where submitting twice does no harm.)"
        )


def fence_of(context: Context, subject: str) -> Fence:
    """Return the guard against a second submission for a running task.

    :param subject: names what is submitted, as ``component PAY``.
    """
    has_store = context.get("task_state_store") is not None
    return StoredFence(context, subject) if has_store else StorelessFence(context, subject)
