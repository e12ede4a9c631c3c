"""The metrics of tasks that submit or wait. Workers and triggers report them."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.stats import Report, tags_of, task_stats

_ENDED = "ended."
_ENDS = {metric.removeprefix(_ENDED): metric for metric in Metric if metric.startswith(_ENDED)}
"""The counters of ends by the status in lower case."""


class TaskMetrics:
    """Reports the metrics of one task to Airflow. No method raises an error of the metrics system.

    :param connection_id: the value of the tag ``connection``.
    :param kind: the value of the tag ``kind``: ``execution`` or ``workflow_run``.
    :param stats: returns what takes the values in this process: `task_stats` or `server_stats`.
    :param send: sends a report; triggers send in the background.
    """

    __slots__ = ("_send", "_stats", "_tags")

    def __init__(
        self,
        connection_id: str,
        kind: str,
        stats: Callable[[], Any] = task_stats,
        send: Callable[[Report], None] = Report.send,
    ) -> None:
        self._tags = tags_of(connection=str(connection_id), kind=kind)
        self._stats = stats
        self._send = send

    def count(self, metric: Metric, number: float = 1, module: str | None = None) -> None:
        """Add a number to a counter.

        :param module: the component, as the tag ``module``. Only of executions that White Rabbit has: other names are
            what somebody wrote, and have no bound.
        """
        self._report(metric, number, module)

    def observe(self, occurrence: str) -> None:
        """Count an `Occurrence` of a wait."""
        self._report(Metric(occurrence), 1, None)

    def ended(self, record: Any) -> None:
        """Count the end of an execution or workflow run by its status, and the credits that it spent.

        :param record: the record with a terminal status.
        """
        metric, module = _ENDS.get(str(record.status).lower()), getattr(record, "module", None)
        if metric is not None:
            self._report(metric, 1, module)
        credits_spent = record.total_usage
        if credits_spent is not None and 0 < credits_spent < math.inf:
            self._report(Metric.CREDITS, credits_spent, module)

    @contextlib.contextmanager
    def timing(self, *endings: type[Exception]) -> Iterator[None]:
        """Report how long a wait takes, if it ends without an exception or with one of the given ones."""
        started = time.monotonic()
        try:
            yield
        except endings:
            self.waited(time.monotonic() - started)
            raise
        self.waited(time.monotonic() - started)

    def waited(self, seconds: float) -> None:
        """Report how long a wait took."""
        self._report(Metric.WAITED_SECONDS, seconds, None)

    def _report(self, metric: Metric, value: float, module: Any) -> None:
        # A subclass of an operator for workflows may have an attribute `module` of its own, which can be anything.
        tags = (*self._tags, *tags_of(module=module)) if isinstance(module, str) else self._tags
        self._send(Report(self._stats, metric, value, tags))
