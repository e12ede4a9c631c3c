"""When a task gives up: its `timeout` and `execution_timeout`, its deadline, and the exception that it then raises."""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from airflow_provider_whiterabbit.compat import AirflowTaskTimeout
from airflow_provider_whiterabbit.computed import ChangedAttribute
from airflow_provider_whiterabbit.exceptions import WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.tasks import TaskMetrics
from airflow_provider_whiterabbit.templated import TemplatedMixin, seconds

MAX_WAIT_SECONDS = 10 * 365 * 24 * 60 * 60.0
"""Longest timeout, in seconds; a longer timeout counts as no timeout: the deadline would be beyond the calendar."""

_NO_END = MAX_WAIT_SECONDS + 1

_FAIL = "__fail__"
"""The name of the method with which Airflow resumes a deferred task whose trigger failed or timed out."""

_DEFERRAL_TIMEOUTS = ("Trigger timeout", "Trigger/execution timeout")
"""The error texts with which Airflow 3 and Airflow 2.11 resume a deferred task whose trigger timed out."""


def limited(timeout: Any) -> float:
    """Return a task's timeout in seconds; infinity as a number, because Airflow stores template fields as JSON.

    :raises WhiteRabbitInputError: if it is no timeout.
    """
    return min(seconds(timeout, "timeout"), _NO_END)


def _finite(timeout: Any) -> Any:
    return _NO_END if isinstance(timeout, float) and timeout == math.inf else timeout


class DeadlineMixin(TemplatedMixin):
    """Mixin for Airflow tasks that wait until a deadline."""

    timeout_error: ClassVar[type[Exception]]
    """The exception that the task raises when the task's `timeout` has passed."""

    timeout: Any = ChangedAttribute(_finite)
    """Seconds, or a template; None for no end. A cluster policy or a subclass may set a `timedelta` or infinity."""

    @property
    @abstractmethod
    def _whiterabbit_metrics(self) -> TaskMetrics:
        """What counts the timeouts."""

    @property
    def _timeout_seconds(self) -> float:
        return self._checked_argument("timeout", lambda value: math.inf if value is None else seconds(value, "timeout"))

    @property
    def _wait_seconds(self) -> float:
        """The shorter of the task's `timeout` and `execution_timeout`, in seconds."""
        return min(
            self._timeout_seconds,
            math.inf if self.execution_timeout is None else self.execution_timeout.total_seconds(),
        )

    def _deadline(self, started: datetime | None) -> datetime | None:
        """Return the time at which the task stops waiting; None if the task has no timeout.

        :param started: from when the timeout counts; None for now, as in Airflow 2.11's `dag.test()`.
        """
        if self._wait_seconds > MAX_WAIT_SECONDS:
            return None
        return (started or datetime.now(UTC)) + timedelta(seconds=self._wait_seconds)

    @contextlib.contextmanager
    def _as_task_timeout(self) -> Iterator[None]:
        """Raise the exception of the task's timeout that came first, `timeout` or `execution_timeout`."""
        try:
            yield
        except WhiteRabbitTimeoutError as error:
            self._whiterabbit_metrics.count(Metric.TIMEOUTS)
            if self._wait_seconds == self._timeout_seconds or self.execution_timeout is None:
                raise self.timeout_error(str(error)) from None
            raise AirflowTaskTimeout(str(error)) from None

    def _refuse_deferral_timeout(self, next_method: str, next_kwargs: dict[str, Any] | None, what: str) -> None:
        """Raise the exception of the task's timeout if Airflow resumes the task because nothing has waited in time.

        :param what: what the task waited for, as part of a sentence.
        :raises Exception: `timeout_error` or `AirflowTaskTimeout`.
        """
        if next_method == _FAIL and (next_kwargs or {}).get("error") in _DEFERRAL_TIMEOUTS:
            with self._as_task_timeout():
                raise WhiteRabbitTimeoutError(
                    f"Airflow's deferral timeout fired before a triggerer saw the end of {what}"
                )
