"""Waiting in the triggerer, for sensors and operators alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit import triggerer_path
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers.base import GRACE, WhiteRabbitTrigger
from airflow_provider_whiterabbit.verdict import check_event

LONGEST_WAIT = 10 * 365 * 24 * 60 * 60.0
"""Seconds; a deadline that is further away would leave the calendar."""


if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator as _Task
else:
    _Task = object


class WaitingMixin(_Task):
    """What a task has that waits for something at White Rabbit."""

    trigger_class: ClassVar[type[WhiteRabbitTrigger]]
    """Knows what is waited for, what its id is called, and how it is followed."""

    whiterabbit_conn_id: str
    ends_in_triggerer: bool
    """Whether the trigger is to end the task. Airflow refuses DAGs with a task whose ``end_from_trigger`` is True where
    a listener is installed; by this name a worker ends it there."""

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
        reason = next(triggerer_path.of_end(self), None)
        if reason is not None:
            self.log.info("A worker will end the task: %s", reason)
            return {}
        return {"end_from_trigger": True, "soft_fail": soft_fail, "retries": self.retries}

    def _record_after(self, event: Any, identity: str) -> Any:
        """Read the record after the trigger's event, which carries no output.

        :raises WhiteRabbitTimeoutError: if the deadline came first.
        """
        check_event(event, self.trigger_class.id_name, identity)
        return self._hook.get_conn().read_ended(self.trigger_class.followed(identity))
