"""Executions of components, and their callbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.streams import Event, Topic
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.scripts import Script
from airflow_provider_whiterabbit.emulator.world.tasks import Task


@dataclass(slots=True)
class Callback:
    """The callback of an execution: where its finished record is delivered, and the result of the delivery.

    :param url: None if the execution has no callback.
    :param secret: HMAC key. Neither the record nor the repr shows it.
    :param headers: extra headers of the delivery. The record shows only their names.
    :param finished: how many deliveries have succeeded or failed, however many attempts each of them took.
    """

    url: str | None = None
    secret: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    attempt_count: int = 0
    last_attempt_at: str | None = None
    delivered_at: str | None = None
    last_error: str | None = None
    finished: int = field(default=0, repr=False)

    def record(self) -> dict[str, Any]:
        """Return the ``callback`` part of an execution record."""
        signed = self.url is not None and self.secret is not None
        return {
            "url": self.url,
            "signed": signed,
            "signatureAlgorithm": "hmac-sha256" if signed else None,
            "headerNames": list(self.headers),
            "lastAttemptAt": self.last_attempt_at,
            "deliveredAt": self.delivered_at,
            "attemptCount": self.attempt_count,
            "lastError": self.last_error,
        }


class Execution(Task):
    """One execution of a component.

    :param topic: the streams of the execution.
    :param on_end: called once, when the execution ends.
    """

    running = "EXECUTING"

    def __init__(
        self,
        module: str,
        inputs: Any,
        config: Any,
        script: Script,
        clock: Clock,
        *,
        topic: Topic,
        callback: Callback,
        on_end: Callable[[Execution], None],
    ) -> None:
        super().__init__(module, inputs, config, script, clock)
        self.topic = topic
        self.callback = callback
        self.created_at = self.updated_at
        self.changes = Changes()
        """Notified when the execution ends, and when a delivery of its callback ends."""
        self._on_end = on_end

    def status_changed(self) -> None:
        """Send an event to the streams; at the end, also wake the waiting requests and call `on_end`."""
        self.topic.publish(self.event())
        if self.ended:
            self.changes.notify()
            self._on_end(self)

    def record(self) -> dict[str, Any]:
        """Return the execution record."""
        return {
            "id": self.id,
            "module": self.module,
            "status": self.status,
            "completed": self.ended,
            "output": self.output,
            "error": self.error,
            "totalUsage": self.usage,
            "callback": self.callback.record(),
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }

    def event(self) -> Event:
        """Return the stream event for the current status."""
        data = {
            "id": self.id,
            "status": self.status,
            "output": self.output,
            "error": self.error,
            "timestamp": self.updated_at,
        }
        return Event(data, self.ended)
