"""Log messages of a wait for an execution or workflow run: each progress and each failure is logged once."""

from __future__ import annotations

import logging
from typing import Any

from airflow_provider_whiterabbit.client.wait.followed import Snapshot
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError

log = logging.getLogger(__name__)


class Narrator:
    """Logs the progress and the failures of a wait for an execution or workflow run, and keeps the last known status.

    :param name: what messages call the execution or run.
    """

    __slots__ = ("_created_at", "_name", "_progress", "_troubles", "status")

    def __init__(self, name: str) -> None:
        self._name = name
        self._created_at: Any = None
        self._progress: set[str] = set()
        self._troubles: set[str] = set()
        self.status: Any = None
        """The last known status of the execution or workflow run; None if no status was read."""

    def tell_progress(self, snapshot: Snapshot) -> None:
        """Log the progress of the execution or workflow run, unless the same progress was logged before."""
        self.status = snapshot.status
        self._created_at = getattr(snapshot, "created_at", None) or self._created_at
        if snapshot.progress not in self._progress:  # a stream may repeat what the record has passed
            self._progress.add(snapshot.progress)
            log.info("%s: %s%s", self._name, snapshot.progress, self._age(snapshot))

    def tell_trouble(self, error: WhiteRabbitError) -> None:
        """Log a failure that does not end the wait, unless the failure was logged since the last `forget_troubles`."""
        if str(error) not in self._troubles:  # an outage of hours must not fill the log
            self._troubles.add(str(error))
            log.warning("%s: %s; the wait continues", self._name, error)

    def tell_polling(self, error: WhiteRabbitError, poll_interval: float) -> None:
        """Log that White Rabbit refused the event stream, so that the wait polls the record."""
        log.warning("%s: the stream was refused (%s); polling every %g s", self._name, error, poll_interval)

    def forget_troubles(self) -> None:
        """Allow failures that were logged before to be logged again."""
        self._troubles.clear()

    def _age(self, snapshot: Snapshot) -> str:
        """Return the age of the execution or workflow run at its last update, by White Rabbit's clock, for the log."""
        if self._created_at is None or snapshot.updated_at is None:
            return ""
        try:
            age = (snapshot.updated_at - self._created_at).total_seconds()
        except (ValueError, OverflowError):  # times at the ends of the calendar; a line of the log must not fail a wait
            return ""
        return f", {age:.1f} s after it was created"
