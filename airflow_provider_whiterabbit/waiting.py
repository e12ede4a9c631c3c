"""Waiting in the triggerer, for sensors and operators alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.verdict import check_event

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.triggers.base import WhiteRabbitTrigger

LONGEST_WAIT = 10 * 365 * 24 * 60 * 60.0
"""Seconds; a deadline that is further away would leave the calendar."""

GRACE = timedelta(minutes=2)
"""By which Airflow's own time-out of a deferral lies behind the trigger's, which ends with a message of ours."""


class WaitingMixin:
    """What a task has that waits for something at White Rabbit."""

    trigger_class: ClassVar[type[WhiteRabbitTrigger]]
    """Knows what is waited for, what its id is called, and how it is followed."""

    whiterabbit_conn_id: str
    defer: Callable[..., Any]

    @cached_property
    def _hook(self) -> WhiteRabbitHook:
        return WhiteRabbitHook(self.whiterabbit_conn_id)

    def _defer_until(self, identity: str, deadline: datetime | None, poll_interval: float) -> None:
        """Free the worker until what has this id has ended; `execute_complete` is called then.

        :param poll_interval: seconds between two reads of the record while there is no stream.
        """
        self.defer(
            trigger=self.trigger_class(identity, self.whiterabbit_conn_id, poll_interval, deadline),
            method_name="execute_complete",
            kwargs={"identity": identity},
            timeout=None if deadline is None else max(deadline - datetime.now(UTC), timedelta()) + GRACE,
        )

    def _record_after(self, event: Any, identity: str) -> Any:
        """Read the record after the trigger's event, which carries no output.

        :raises WhiteRabbitTimeoutError: if the deadline came first.
        """
        check_event(event, self.trigger_class.id_name, identity)
        return self._hook.get_conn().read_ended(self.trigger_class.followed(identity))
