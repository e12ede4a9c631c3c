"""Workflows: scripts of stages, and their runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from airflow_provider_whiterabbit.emulator.plumbing.streams import Event, Topic
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.scripts import Script, ScriptOptions
from airflow_provider_whiterabbit.emulator.world.tasks import TERMINAL, Task

Ending = Literal["COMPLETED", "FAILED", "CANCELED"]


class StageOptions(ScriptOptions):
    """One stage of a workflow: its module, and what `Script` takes."""

    module: str


@dataclass(frozen=True, slots=True)
class StageScript:
    """What a stage runs and how it goes.

    :param script: None to follow the module's script, as an execution would.
    """

    module: str
    script: Script | None = None

    @classmethod
    def from_options(cls, options: StageOptions) -> StageScript:
        """Build it from the form in which tests write it.

        :raises ValueError: if ``module`` is missing, or as `Script` does.
        """
        script: dict[str, Any] = {name: value for name, value in options.items() if name != "module"}
        if not isinstance(options.get("module"), str):
            raise ValueError("a stage needs a module")
        return cls(options["module"], Script(**script) if script else None)


@dataclass(frozen=True, slots=True)
class WorkflowScript:
    """How the runs of a workflow go: its stages, one after the other.

    :param ending: the run's last status. The default: FAILED as soon as a stage fails, else COMPLETED.
    :param reason: why it is canceled, if `ending` is CANCELED.
    :raises ValueError: if `ending` is none of the three.
    """

    stages: Sequence[StageScript]
    ending: Ending | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.ending not in (None, *TERMINAL):
            raise ValueError("ending must be COMPLETED, FAILED or CANCELED")


class Stage(Task):
    """One stage of a run."""

    running = "RUNNING"

    def __init__(self, module: str, script: Script, clock: Clock, on_change: Callable[[Stage], None]) -> None:
        super().__init__(module, {}, {}, script, clock)
        self._on_change = on_change
        self._event_id: str | None = None
        self._dispatched_at: str | None = None

    def changed(self) -> None:
        """Tell the run."""
        self._on_change(self)

    def dispatch(self) -> None:
        """Let it be the run's current stage; no change if it is already."""
        if self._event_id is None:
            self._event_id = str(uuid4())
            self._dispatched_at = self.clock.iso()
            self.follow()

    def cancel(self) -> None:
        """End it without a result, unless it has ended."""
        if not self.ended:
            self.stop()
            self.status = "CANCELED"
            self.updated_at = self.clock.iso()

    def record(self) -> dict[str, Any]:
        """Return the stage as the run record has it."""
        return {
            "id": self.id,
            "module": self.module,
            "status": self.status,
            "output": self.output,
            "error": self.error,
            "creditUsage": self.usage,
            "executionEventId": self._event_id,
            "executionDispatchedAt": self._dispatched_at,
            "executionAttempt": 0 if self._event_id is None else 1,
            "updatedAt": self.updated_at,
        }


class Run:
    """One run of a workflow.

    :param next_script: gives the script of a module, for the stages that have none of their own.
    :param topic: who follows it.
    """

    def __init__(
        self, script: WorkflowScript, next_script: Callable[[str], Script], clock: Clock, topic: Topic
    ) -> None:
        self.id = str(uuid4())
        self.topic = topic
        self.status = "CREATED"
        self.stages = [
            Stage(spec.module, spec.script or next_script(spec.module), clock, self._stage_changed)
            for spec in script.stages
        ]
        self._script = script
        self._clock = clock
        self._timer: asyncio.Handle | None = None
        self._cancel_requested_at: str | None = None
        self._cancel_reason: str | None = None
        self._created_at = self._updated_at = clock.iso()

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in TERMINAL

    def play(self) -> None:
        """Begin with the first stage, at the event loop's next turn."""
        self._timer = asyncio.get_running_loop().call_soon(self._begin)

    def resume(self) -> None:
        """Go on after a `stop`."""
        if self.status == "CREATED":
            self.play()
        for stage in self.stages:
            if not stage.ended:
                stage.resume()

    def polled(self) -> None:
        """Count a read of the record for the current stage."""
        current = next((stage for stage in self.stages if not stage.ended), None)
        if current is not None and not self.ended:
            current.polled()

    def cancel(self, reason: str | None = None) -> None:
        """End the run as CANCELED, and every stage that has not ended with it.

        :raises ValueError: if it has ended before.
        """
        if self.ended:
            raise ValueError(f"{self.id} is {self.status} already")
        self._cancel_requested_at, self._cancel_reason = self._clock.iso(), reason
        self._end("CANCELED")

    def stop(self) -> None:
        """Stop following the script, without a change of status."""
        if self._timer is not None:
            self._timer.cancel()
        for stage in self.stages:
            stage.stop()

    def record(self) -> dict[str, Any]:
        """Return the run record."""
        return {
            "id": self.id,
            "status": self.status,
            **self._progress(),
            "createdAt": self._created_at,
            "updatedAt": self._updated_at,
            "runStages": [stage.record() for stage in self.stages],
        }

    def event(self) -> Event:
        """Return what a stream says about the run as it is now."""
        fields = ("id", "module", "status", "executionEventId", "executionAttempt")
        pending = [stage.record() for stage in self.stages if not stage.ended]
        output = {
            **self._progress(),
            "nonTerminalStages": [{name: stage[name] for name in fields} for stage in pending],
        }
        data = {"id": self.id, "status": self.status, "output": output, "timestamp": self._updated_at}
        return Event(data, self.ended)

    def _progress(self) -> dict[str, Any]:
        return {
            "pendingStageCount": sum(not stage.ended for stage in self.stages),
            "failedStageCount": sum(stage.status == "FAILED" for stage in self.stages),
            "cancelRequestedAt": self._cancel_requested_at,
            "cancelReason": self._cancel_reason,
            "totalUsage": sum(stage.usage for stage in self.stages),
        }

    def _begin(self) -> None:
        self._move("EXECUTING")
        self._next_stage()

    def _stage_changed(self, stage: Stage) -> None:
        if stage.status == "FAILED" or all(other.ended for other in self.stages):
            self._finish()
            return
        self._move("EXECUTING")
        if stage.ended:
            self._next_stage()

    def _finish(self) -> None:
        failed = any(stage.status == "FAILED" for stage in self.stages)
        ending = self._script.ending or ("FAILED" if failed else "COMPLETED")
        if ending == "CANCELED":
            self.cancel(self._script.reason)
        else:
            self._end(ending)

    def _next_stage(self) -> None:
        following = next((stage for stage in self.stages if not stage.ended), None)
        if following is None:
            self._finish()
        else:
            following.dispatch()

    def _end(self, status: Ending) -> None:
        self.stop()
        for stage in self.stages:
            stage.cancel()
        self._move(status)

    def _move(self, status: str) -> None:
        self.status = status
        self._updated_at = self._clock.iso()
        self.topic.publish(self.event())
