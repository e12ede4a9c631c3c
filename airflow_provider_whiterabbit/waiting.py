"""Waiting in the triggerer, for sensors and operators alike."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_whiterabbit.ending import obstacles as triggerer_path
from airflow_provider_whiterabbit.ending.verdict import USAGE_KEY, check_event
from airflow_provider_whiterabbit.exceptions import WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.links import LINK_KEY, WhiteRabbitLink
from airflow_provider_whiterabbit.triggers.base import GRACE, WhiteRabbitTrigger

LONGEST_WAIT = 10 * 365 * 24 * 60 * 60.0
"""Seconds; a deadline that is further away would leave the calendar, and is none."""

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator as _Task
    from airflow.providers.common.compat.sdk import Context
else:
    _Task = object


class WaitingMixin(_Task):
    """What a task has that waits for something at White Rabbit."""

    operator_extra_links: Collection[WhiteRabbitLink] = (WhiteRabbitLink(),)

    trigger_class: ClassVar[type[WhiteRabbitTrigger]]
    """Knows what is waited for, what its id is called, and how it is followed."""

    whiterabbit_conn_id: str
    ends_in_triggerer: bool
    """Whether the trigger is to end the task. Airflow refuses DAGs with a task whose ``end_from_trigger`` is True where
    a listener is installed; by this name a worker ends it there."""

    timeout_error: ClassVar[type[Exception]]
    """What is raised when `timeout` is over."""

    timeout: Any  # seconds, or None for no end

    @cached_property
    def _hook(self) -> WhiteRabbitHook:
        return WhiteRabbitHook(self.whiterabbit_conn_id)

    def _defer_until(
        self, identity: str, deadline: datetime | None, poll_interval: float, *, soft_fail: bool = False
    ) -> None:
        """Free the worker until what has this id has ended; `execute_complete` is called then.

        :param poll_interval: seconds between two reads of the record while there is no stream.
        :param soft_fail: the task is to be skipped instead of failed, should it end in the triggerer.
        """
        self.defer(
            trigger=self.trigger_class(
                identity, self.whiterabbit_conn_id, poll_interval, deadline, **self._ending(soft_fail)
            ),
            method_name="execute_complete",
            kwargs={"identity": identity},
            timeout=None if deadline is None else max(deadline - datetime.now(UTC), timedelta()) + GRACE,
        )

    def _ending(self, soft_fail: bool) -> dict[str, Any]:
        """Return the trigger's arguments that concern the task's end."""
        if not self.ends_in_triggerer:
            return {}
        reason = next(itertools.chain(triggerer_path.of_end(self), triggerer_path.of_class(self)), None)
        if reason is not None:
            self.log.info("A worker will end the task: %s", reason)
            return {}
        return {"end_from_trigger": True, "soft_fail": soft_fail, "retries": self.retries}

    @property
    def _patience(self) -> float:
        """Seconds of the time-out that comes first."""
        own = math.inf if self.timeout is None else self.timeout
        return min(own, math.inf if self.execution_timeout is None else self.execution_timeout.total_seconds())

    def _deadline(self, context: Context) -> datetime | None:
        """Return when the wait is over, if it ever is."""
        if self._patience > LONGEST_WAIT:
            return None
        started: datetime | None = context["ti"].start_date  # empty in Airflow 2.11's `dag.test()`
        return (started or datetime.now(UTC)) + timedelta(seconds=self._patience)

    @contextlib.contextmanager
    def _telling_timeouts_apart(self) -> Iterator[None]:
        """Raise what belongs to the time-out that came first, `timeout` or `execution_timeout`."""
        try:
            yield
        except WhiteRabbitTimeoutError as error:
            if self._patience == self.timeout or self.execution_timeout is None:
                raise self.timeout_error(str(error)) from None
            raise AirflowTaskTimeout(str(error)) from None

    def _show_link(self, context: Context, identity: str) -> None:
        """Store the task's link, once in a process, if the connection says how it looks."""
        if not self.operator_extra_links:
            return
        link = self._hook.get_conn().settings.link_to(self.trigger_class.id_name, identity)
        if link is not None and self.do_xcom_push:
            context["ti"].xcom_push(key=LINK_KEY, value=link)
        self.operator_extra_links = ()  # what Airflow 3 would store once more, nothing included, at the process's end

    def _report_usage(self, context: Context, record: Any) -> None:
        """Tell what was spent, in the log and as XCom ``usage``."""
        if record.total_usage is not None:
            self.log.info("Credits used: %.12g", record.total_usage)
            if self.do_xcom_push:
                context["ti"].xcom_push(key=USAGE_KEY, value=record.total_usage)

    def _record_after(self, event: Any, identity: str | None) -> Any:
        """Read the record after the trigger's event, which carries no output.

        :param identity: id of what was waited for; None to believe the event.
        :raises Exception: `timeout_error` or `AirflowTaskTimeout`, if the deadline came first.
        """
        with self._telling_timeouts_apart():
            ended = check_event(event, self.trigger_class.id_name, identity)
        return self._hook.get_conn().read_ended(self.trigger_class.followed(ended))
