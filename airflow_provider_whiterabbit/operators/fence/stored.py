"""The fence of Airflow 3.3 and newer, which has a task state store."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import tenacity

from airflow_provider_whiterabbit.compat import conf
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitProtocolError
from airflow_provider_whiterabbit.operators.fence.base import Fence
from airflow_provider_whiterabbit.operators.fence.places import Place, TaskPlace
from airflow_provider_whiterabbit.operators.submission import Submission, answer_to, is_edited

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context

log = logging.getLogger(__name__)


class StoredFence(Fence):
    """Guards a task against a second submission by means of Airflow's task state store (Airflow 3.3+).

    :param place: where the record of the submission is kept; None for the place of an operator's only submission.
    """

    survives_retries = True

    def __init__(self, context: Context, subject: str, place: Place | None = None) -> None:
        super().__init__(context, subject)
        self._place = TaskPlace(context["task_state_store"]) if place is None else place
        self._clear_number: int | None = getattr(context.get("dag_run"), "clear_number", None)
        self._before: Any = None  # the stored record that this try has found
        self._found: Submission | None = None  # what the record says
        self._settled: dict[str, Any] = {}  # the answer of a person that led to what this try stores
        self._replaces: dict[str, Any] = {}  # the submission that this try's submission replaces

    def earlier(self) -> Submission | None:
        """Return the task's earlier submission from Airflow's task state store; None if the store holds none."""
        self._before = stored = self._place.get()
        if stored is None:
            return None
        try:
            self._found = Submission.from_stored(stored)
        except ValueError as error:
            raise WhiteRabbitProtocolError(
                f"{error} Airflow's UI can edit it: it is {self._place.name} of this task instance's task state store. "
                'If White Rabbit has the submission, store {"id": "<its id>"}; if not, delete it, and the next try '
                "submits."
            ) from None
        if answer := answer_to(stored, self._place.answer()):  # later than an answer in the record, see `note`
            self._found = replace(self._found, answer=answer)
        return self._found

    def intend(self) -> Submission:
        """Store the intent to submit in Airflow's task state store, and return it.

        :raises WhiteRabbitError: if another process of the task has changed the record since this one has read it.
        """
        if (before := self._found) is not None:
            self._settled = before.answer
            if before.target_id is not None:
                self._replaces = {"replaces": {"id": before.target_id, "at": before.at}}
        record = self._record(None, self._replaces)
        if not self._place.intend(record, since=self._before):
            raise WhiteRabbitError(
                "Another process of this task has changed the stored submission meanwhile, so nothing was sent. A "
                "retry takes what the other process has submitted."
            )
        return Submission.from_stored(record)

    def adopt(self, target_id: str, earlier: Submission | None = None) -> None:
        """Store the submission's id in three attempts, which take half a minute while Airflow's API server is down.

        If all fail, a retry calls the submission uncertain, which is safe, and the log has the id.
        """
        log.log(self._place.log_level, "Submitted %s%s as %s", self._subject, self._place.label, target_id)
        attempts = tenacity.Retrying(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(1), reraise=True)
        entries = self._replaces.copy()
        if earlier is not None:
            self._settled = earlier.answer or earlier.settled
            entries["at"] = earlier.at
            if earlier.request is None and earlier.max_tries is not None and not earlier.answer:
                entries["request"] = None  # a record of an earlier version: what was asked stays unknown
            if earlier.replaces:
                entries["replaces"] = earlier.replaces
        try:
            attempts(self._place.set, self._record(target_id, entries))
        except Exception:
            log.exception("The id %s could not be stored; a retry of this task will not find it", target_id)

    def withdraw(self) -> None:
        """Delete the intent to submit from Airflow's task state store, or restore the record that it has replaced."""
        try:
            if self._before is None:
                self._place.delete()
            else:
                self._place.amend(self._before)
        except Exception:
            log.exception("The intent could not be deleted; a retry of this task will call the submission uncertain")

    def note(self, **entries: Any) -> None:
        """Add entries to the record in Airflow's task state store.

        What a person has stored before is then settled or void: an answer by command, and an id that was filled in.
        """
        stored = self._place.get()
        record = stored if isinstance(stored, dict) else {"id": stored}
        if is_edited(record):
            record = {name: value for name, value in record.items() if name not in ("max_tries", "request", "answer")}
        self._place.delete_answer()
        self._place.amend({"id": None} | record | {"stored": record.get("id")} | entries)

    def is_cleared(self, earlier: Submission) -> bool | None:
        """Return whether a user has cleared the Airflow task since an earlier submission; None if it can't be told.

        A clear sets `max_tries` to the number of tries so far plus the task's `retries`; a retry leaves `max_tries`. If
        `retries` was lowered meanwhile, a clear can result in the same number. The DAG run's `clear_number` then tells
        that some task of the run was cleared, but not which.
        """
        if earlier.max_tries is None:
            return False  # a person stored the id after the clear
        if earlier.max_tries != self._ti.max_tries:
            return True
        tries_before_clear = self._ti.max_tries - self._task.retries
        if (
            earlier.try_number is not None
            and earlier.clear_number != self._clear_number
            and earlier.try_number <= tries_before_clear < self._ti.try_number
        ):
            return None
        return False

    def risks(self, earlier: Submission | None) -> Iterator[str]:
        """Yield why Airflow's task state store may forget a submission."""
        if conf.getboolean("state_store", "clear_on_success", fallback=False):
            yield (
                "[state_store] clear_on_success is set: when this task has succeeded, Airflow forgets what the task "
                "submitted, so after a clear the task always submits anew"
            )
        if earlier is None and self._ti.try_number > 1:
            yield (
                "The task state store holds no submission of an earlier try. If an earlier try ran before Airflow 3.3, "
                "or if somebody emptied the store, a component that the earlier try submitted now runs twice"
            )

    @property
    def remedy(self) -> str:
        """The command with which a person settles a doubt."""
        ids = [self._ti.dag_id, self._ti.run_id]
        run = shlex.join(["--", *ids] if any(name.startswith("-") for name in ids) else ids)
        return (
            f"Look for it in White Rabbit, then settle the doubt with this command: airflow whiterabbit doubts {run} "
            "(see at-most-once in this provider's documentation)."
        )

    def _record(self, target_id: str | None, entries: dict[str, Any]) -> dict[str, Any]:
        record: dict[str, Any] = {
            "id": target_id,
            "stored": target_id,
            "subject": self._subject,
            "max_tries": self._ti.max_tries,
            "try_number": self._ti.try_number,
            "clear_number": self._clear_number,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "request": self.request,
        }
        return record | entries | ({"settled": self._settled} if self._settled else {})
