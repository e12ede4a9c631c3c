"""Executions of components with their callbacks, and `Task`, which a workflow stage has in common with an execution."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.streams import Event, Topic
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.scripts import DEFAULT, Script

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELED"})


class Task(ABC):
    """An execution or a stage: it is CREATED, runs, and ends. A change of a terminal status raises `ValueError`."""

    running: ClassVar[str]
    """The status between CREATED and the end."""

    def __init__(self, module: str, inputs: Any, config: Any, script: Script, clock: Clock) -> None:
        self.id = str(uuid4())
        self.module = module
        self.inputs = inputs
        self.config = config
        self.script = script
        self.clock = clock
        self.status = "CREATED"
        self.output: Any = None
        self.error: Any = None
        self.usage: float = 0
        self.updated_at = clock.iso()
        self._polls = 0
        self._schedule: list[tuple[float, Callable[[], None]]] = []
        """The steps of the script, each with its time on the monotonic clock. Steps stay here after they are done."""
        self._timers: list[asyncio.Handle] = []

    @property
    def ended(self) -> bool:
        """Whether the status is terminal."""
        return self.status in TERMINAL

    @abstractmethod
    def status_changed(self) -> None:
        """Handle a change of the status; called after each change."""

    def play(self) -> None:
        """Follow the script from the event loop's next iteration, so that the request which created it is answered."""
        self._schedule = [(time.monotonic(), self.follow_script)]
        self.resume()

    def follow_script(self) -> None:
        """Follow the script from now on. Steps without a delay are done when this method returns."""
        script = self.script
        self._schedule.clear()
        if script.executing_after is not None:
            self._call_later(script.executing_after, self.start)
        elif script.polls is None and not script.manual:
            self._call_later(0, self.start)
        if script.polls is None and not script.manual:
            self._call_later(script.after or 0, self.end_as_scripted)

    def count_poll(self) -> None:
        """Count a read of the record. The answer to the read already shows the status that the count leads to."""
        if self.script.polls is None or self.ended:
            return
        self._polls += 1
        self.start()
        if self._polls >= self.script.polls:
            self.end_as_scripted()

    def start(self) -> None:
        """Change the status to running, unless it is running already."""
        if self.status != self.running:
            self._change_status(self.running)

    def end_as_scripted(self) -> None:
        """End with the error or the output of the script."""
        if self.script.error is not None:
            self.fail(self.script.error)
        else:
            self.complete()

    def complete(self, output: Any = DEFAULT, usage: float | None = None) -> None:
        """Change the status to COMPLETED, by default with the output of the script."""
        try:
            result = self.script.result(self.module, self.inputs, self.config) if output is DEFAULT else output
        except Exception as error:
            self.fail({"message": str(error), "type": type(error).__name__}, usage)
            return
        self._change_status("COMPLETED", output=result, usage=usage)

    def fail(self, error: Any, usage: float | None = None) -> None:
        """Change the status to FAILED."""
        self._change_status("FAILED", error=error, usage=usage)

    def resume(self) -> None:
        """Continue after a `stop`. Steps that are overdue are done in the event loop's next iteration."""
        loop = asyncio.get_running_loop()
        self._timers = [loop.call_later(max(0.0, due - time.monotonic()), step) for due, step in self._schedule]

    def stop(self) -> None:
        """Stop following the script, without a change of the status."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _change_status(self, status: str, output: Any = None, error: Any = None, usage: float | None = None) -> None:
        if self.ended:
            raise ValueError(f"{self.id} is {self.status} already")
        self.status, self.output, self.error = status, output, error
        self.updated_at = self.clock.iso()
        if status in TERMINAL:
            self.usage = self.script.usage if usage is None else usage
            self.stop()
        self.status_changed()

    def _call_later(self, delay: float, step: Callable[[], None]) -> None:
        if delay > 0:
            self._schedule.append((time.monotonic() + delay, step))
            self._timers.append(asyncio.get_running_loop().call_later(delay, step))
        else:
            step()


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
