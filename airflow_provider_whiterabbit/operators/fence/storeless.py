"""The fence of Airflow before 3.3, which has no task state store."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.operators.fence.base import Fence
from airflow_provider_whiterabbit.operators.fence.runs import is_own, may_have_run
from airflow_provider_whiterabbit.operators.submission import Submission

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context

log = logging.getLogger(__name__)

_MADE_BY_A_TRY = "that an earlier try may have made"
_MADE_BY_A_RUN = "that an earlier run of this try may have made"

_REMEDY_OF_A_RUN = (
    "Before version 3.3, Airflow keeps nothing between two runs of a task within one try, so a task that is "
    "rescheduled or was deferred submits nothing. Submit in a task of its own, or before the task defers. A sensor can "
    "use mode='poke'. (Where submitting twice does no harm, set on_doubt='resubmit'.)"
)


class StorelessFence(Fence):
    """Guards a task in Airflow before 3.3, which has no task state store: a retry fails rather than submits again."""

    survives_retries = False

    def earlier(self) -> Submission | None:
        """Return an uncertain submission in a retry; None in the task's first try and in the first try after a clear.

        In the first try all retries are left. After a change of `retries` in the DAG only the very first try counts as
        one: it is safer to refuse than to submit twice.
        """
        if self._may_have_run:
            return Submission(None, made=_MADE_BY_A_RUN)
        tries_before = self._ti.try_number - 1
        if tries_before > 0 and self._ti.max_tries != tries_before + self._task.retries:
            return Submission(None, made=_MADE_BY_A_TRY)
        return None

    @property
    def _may_have_run(self) -> bool:
        """Whether an earlier run of this try may have submitted."""
        return not is_own(self._task) and may_have_run(self._ti, self._task)

    def intend(self) -> Submission:
        """Store nothing, because Airflow before 3.3 has no task state store."""
        return Submission(None, made="made just now")

    def adopt(self, target_id: str, earlier: Submission | None = None) -> None:
        """Log the id of the submitted execution or workflow run."""
        log.info("Submitted %s as %s", self._subject, target_id)

    def withdraw(self) -> None:
        """Delete nothing, because Airflow before 3.3 has no task state store."""

    def note(self, **entries: Any) -> None:
        """Store nothing, because Airflow before 3.3 has no task state store."""

    def is_cleared(self, earlier: Submission) -> bool | None:
        """Return False: `earlier` finds nothing after a clear."""
        return False

    def risks(self, earlier: Submission | None) -> Iterator[str]:
        """Yield nothing: a retry never submits."""
        yield from ()

    @property
    def remedy(self) -> str:
        """What a person has to do about a submission that may have arrived, in Airflow before 3.3."""
        if self._may_have_run:
            return _REMEDY_OF_A_RUN
        return (
            "Look for it in White Rabbit. If it is not there, clear this task; if it is there, wait for it with the "
            "sensor. (Before version 3.3, Airflow keeps no ids across retries. For future runs, set retries=0, or "
            "on_doubt='resubmit' where submitting twice does no harm.)"
        )


class KeyedStorelessFence(StorelessFence):
    """The same for a task that submits under many keys: a clear must not submit again what was submitted before.

    :param unsure: the keys under which this try has begun to submit. The code of a task may catch an error and go on.
    :param key: the key.
    """

    def __init__(self, context: Context, subject: str, unsure: set[str], key: str) -> None:
        super().__init__(context, subject)
        self._unsure = unsure
        self._key = key

    def earlier(self) -> Submission | None:
        """Return None in the very first run of the task, and an uncertain submission in each later one."""
        if self._key in self._unsure:
            return Submission(None, made="that this try may have made")
        if self._may_have_run:
            return Submission(None, made=_MADE_BY_A_RUN)
        return Submission(None, made=_MADE_BY_A_TRY) if self._ti.try_number > 1 else None

    def intend(self) -> Submission:
        """Remember for this try that a submission may have been sent."""
        self._unsure.add(self._key)
        return super().intend()

    def withdraw(self) -> None:
        """Forget it, because certainly nothing was submitted."""
        self._unsure.discard(self._key)

    @property
    def remedy(self) -> str:
        """What a person has to do about submissions that may have arrived, in Airflow before 3.3."""
        if self._may_have_run:
            return _REMEDY_OF_A_RUN
        return (
            "Before version 3.3, Airflow keeps no ids across tries, so only the first try of a task submits under "
            "keys. Look for the submissions of this task in White Rabbit, and start another DAG run for those that are "
            "missing. (For future runs, set retries=0, or on_doubt='resubmit' where submitting twice does no harm.)"
        )
