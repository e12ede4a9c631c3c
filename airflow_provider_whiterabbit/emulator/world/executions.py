"""Emulated executions of components and their callbacks; `Task` is the base class of executions and workflow stages."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.scripts import DEFAULT, Script
from airflow_provider_whiterabbit.emulator.world.streams import Event, Topic

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELED"})


class Task(ABC):
    """Base class of executions and workflow stages. A change of the status after the end raises `ValueError`."""

    running: ClassVar[str]
    """The status of an execution or stage that has started and not ended: EXECUTING or RUNNING."""

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
        self._execution_polls = 0
        self._execution_steps: list[tuple[float, Callable[[], None]]] = []
        """The script's steps (functions), past steps too, each with its time on the monotonic clock."""
        self._execution_timers: list[asyncio.Handle] = []

    @property
    def ended(self) -> bool:
        """Whether the execution or stage has ended."""
        return self.status in TERMINAL

    @abstractmethod
    def status_changed(self) -> None:
        """Handle a change of the execution's or stage's status; called after each change."""

    def play(self) -> None:
        """Begin the script in the event loop's next iteration, so that the execution's submission is answered."""
        self._execution_steps = [(time.monotonic(), self.follow_script)]
        self.resume()

    def follow_script(self) -> None:
        """Begin the execution's or stage's script. Status changes without a delay happen before the method returns."""
        script = self.script
        self._execution_steps.clear()
        if script.executing_after is not None:
            self._execute_later(script.executing_after, self.start)
        elif script.polls is None and not script.manual:
            self._execute_later(0, self.start)
        if script.polls is None and not script.manual:
            self._execute_later(script.after or 0, self.end_as_scripted)

    def count_poll(self) -> None:
        """Count a client's read of the record; a script with `polls` changes the status after a number of reads."""
        if self.script.polls is None or self.ended:
            return
        self._execution_polls += 1
        self.start()
        if self._execution_polls >= self.script.polls:
            self.end_as_scripted()

    def start(self) -> None:
        """Change the status to EXECUTING (execution) or RUNNING (stage), unless the status is that already."""
        if self.status != self.running:
            self._change_execution_status(self.running)

    def end_as_scripted(self) -> None:
        """End the execution or stage with the error or the output that its script defines."""
        if self.script.error is not None:
            self.fail(self.script.error)
        else:
            self.complete()

    def complete(self, output: Any = DEFAULT, usage: float | None = None) -> None:
        """Change the execution's or stage's status to COMPLETED, by default with the output of the script."""
        try:
            execution_output = (
                self.script.result(self.module, self.inputs, self.config) if output is DEFAULT else output
            )
        except Exception as error:
            self.fail({"message": str(error), "type": type(error).__name__}, usage)
            return
        self._change_execution_status("COMPLETED", output=execution_output, usage=usage)

    def fail(self, error: Any, usage: float | None = None) -> None:
        """Change the execution's or stage's status to FAILED."""
        self._change_execution_status("FAILED", error=error, usage=usage)

    def resume(self) -> None:
        """Continue the script after `stop`. Overdue status changes happen in the event loop's next iteration."""
        loop = asyncio.get_running_loop()
        self._execution_timers = [
            loop.call_later(max(0.0, due - time.monotonic()), execution_step)
            for due, execution_step in self._execution_steps
        ]

    def stop(self) -> None:
        """Stop the script of the execution or stage, without a change of the status."""
        for execution_timer in self._execution_timers:
            execution_timer.cancel()
        self._execution_timers.clear()

    def _change_execution_status(
        self, status: str, output: Any = None, error: Any = None, usage: float | None = None
    ) -> None:
        if self.ended:
            raise ValueError(f"{self.id} is {self.status} already")
        self.status, self.output, self.error = status, output, error
        self.updated_at = self.clock.iso()
        if status in TERMINAL:
            self.usage = self.script.usage if usage is None else usage
            self.stop()
        self.status_changed()

    def _execute_later(self, delay: float, execution_step: Callable[[], None]) -> None:
        if delay > 0:
            self._execution_steps.append((time.monotonic() + delay, execution_step))
            self._execution_timers.append(asyncio.get_running_loop().call_later(delay, execution_step))
        else:
            execution_step()


@dataclass(slots=True)
class Callback:
    """An execution's callback: the URL that gets the record of the finished execution; the result of the delivery.

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
        callback_signed = self.url is not None and self.secret is not None
        return {
            "url": self.url,
            "signed": callback_signed,
            "signatureAlgorithm": "hmac-sha256-v1" if callback_signed else None,
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
        """Wakes coroutines when the execution ends, and when a delivery of the execution's callback ends."""
        self._on_execution_end = on_end

    def status_changed(self) -> None:
        """Send a stream event; when the execution has ended, also wake requests that wait for it and call `on_end`."""
        self.topic.publish(self.event())
        if self.ended:
            self.changes.notify()
            self._on_execution_end(self)

    def record(self) -> dict[str, Any]:
        """Return the record of the execution."""
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
        """Return the stream event for the execution's current status."""
        execution_data = {
            "id": self.id,
            "status": self.status,
            "output": self.output,
            "error": self.error,
            "timestamp": self.updated_at,
        }
        return Event(execution_data, self.ended)
