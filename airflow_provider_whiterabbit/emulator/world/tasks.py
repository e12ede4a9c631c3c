"""What an execution and a stage of a workflow have in common: they start, end once, and follow a script."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import uuid4

from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.scripts import DEFAULT, Script

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELED"})


class Task(ABC):
    """Something that is CREATED, runs, and ends."""

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
        self._plan: list[tuple[float, Callable[[], None]]] = []
        """What is going to happen, and when on the monotonic clock; what has happened stays in it."""
        self._timers: list[asyncio.Handle] = []

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in TERMINAL

    @abstractmethod
    def changed(self) -> None:
        """Tell whoever follows this task that its status is another."""

    def play(self) -> None:
        """Follow the script from the event loop's next turn on: the answer that tells of the task comes first."""
        self._plan = [(time.monotonic(), self.follow)]
        self.resume()

    def follow(self) -> None:
        """Follow the script from now on. What happens at once has happened when this returns."""
        script = self.script
        self._plan.clear()
        if script.executing_after is not None:
            self._later(script.executing_after, self.start)
        elif script.polls is None and not script.manual:
            self._later(0, self.start)
        if script.polls is None and not script.manual:
            self._later(script.after or 0, self.end_as_scripted)

    def polled(self) -> None:
        """Count a read of the record, which is about to be answered."""
        if self.script.polls is None or self.ended:
            return
        self._polls += 1
        self.start()
        if self._polls >= self.script.polls:
            self.end_as_scripted()

    def start(self) -> None:
        """Let it run; no change if it already does.

        :raises ValueError: if it has ended.
        """
        if self.status != self.running:
            self._move(self.running)

    def end_as_scripted(self) -> None:
        """Let it end as its script says."""
        if self.script.error is not None:
            self.fail(self.script.error)
        else:
            self.complete()

    def complete(self, output: Any = DEFAULT, usage: float | None = None) -> None:
        """Let it end well.

        :raises ValueError: if it has ended before.
        """
        try:
            result = self.script.result(self.module, self.inputs, self.config) if output is DEFAULT else output
        except Exception as error:
            self.fail({"message": str(error), "type": type(error).__name__}, usage)
            return
        self._move("COMPLETED", output=result, usage=usage)

    def fail(self, error: Any, usage: float | None = None) -> None:
        """Let it end badly.

        :raises ValueError: if it has ended before.
        """
        self._move("FAILED", error=error, usage=usage)

    def resume(self) -> None:
        """Go on after a `stop`: what was due meanwhile happens at the event loop's next turn."""
        loop = asyncio.get_running_loop()
        self._timers = [loop.call_later(max(0.0, due - time.monotonic()), action) for due, action in self._plan]

    def stop(self) -> None:
        """Stop following the script, without a change of status."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _move(self, status: str, output: Any = None, error: Any = None, usage: float | None = None) -> None:
        if self.ended:
            raise ValueError(f"{self.id} is {self.status} already")
        self.status, self.output, self.error = status, output, error
        self.updated_at = self.clock.iso()
        if status in TERMINAL:
            self.usage = self.script.usage if usage is None else usage
            self.stop()
        self.changed()

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        if delay > 0:
            self._plan.append((time.monotonic() + delay, action))
            self._timers.append(asyncio.get_running_loop().call_later(delay, action))
        else:
            action()
