"""Workflows: the scripts of their stages, and their runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from airflow_provider_whiterabbit.emulator.plumbing.streams import Event, Topic
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.executions import TERMINAL, Task
from airflow_provider_whiterabbit.emulator.world.scripts import Script, ScriptOptions

Ending = Literal["COMPLETED", "FAILED", "CANCELED"]


class StageOptions(ScriptOptions):
    """The module of a workflow stage, and the parameters of `Script`."""

    module: str


@dataclass(frozen=True, slots=True)
class StageScript:
    """The module of a workflow stage, and its script.

    :param script: None to use the next script of the module, as an execution does.
    """

    module: str
    script: Script | None = None

    @classmethod
    def from_options(cls, options: StageOptions) -> StageScript:
        """Create it from a dict of the module and the parameters of `Script`.

        :raises ValueError: if ``module`` is missing, or as `Script` does.
        """
        script_options: dict[str, Any] = {name: value for name, value in options.items() if name != "module"}
        if not isinstance(options.get("module"), str):
            raise ValueError("a stage needs a module")
        return cls(options["module"], Script(**script_options) if script_options else None)


@dataclass(frozen=True, slots=True)
class WorkflowScript:
    """What the runs of a workflow do: their stages run one after the other.

    :param ending: the run's last status. By default a run is FAILED as soon as a stage fails, and COMPLETED otherwise.
    :param reason: the reason for canceling, if `ending` is CANCELED.
    :raises ValueError: if `ending` is not a terminal status.
    """

    stages: Sequence[StageScript]
    ending: Ending | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.ending not in (None, *TERMINAL):
            raise ValueError("ending must be COMPLETED, FAILED or CANCELED")


class Stage(Task):
    """One stage of a workflow run.

    :param on_change: called after each change of the stage's status.
    """

    running = "RUNNING"

    def __init__(self, module: str, script: Script, clock: Clock, on_change: Callable[[Stage], None]) -> None:
        super().__init__(module, {}, {}, script, clock)
        self._on_change = on_change
        self._event_id: str | None = None
        self._dispatched_at: str | None = None

    def status_changed(self) -> None:
        """Inform the run."""
        self._on_change(self)

    def dispatch(self) -> None:
        """Make it the run's current stage. Nothing happens if it is the current stage already."""
        if self._event_id is None:
            self._event_id = str(uuid4())
            self._dispatched_at = self.clock.iso()
            self.follow_script()

    def cancel(self) -> None:
        """Change the status to CANCELED. Nothing happens if the stage has ended."""
        if not self.ended:
            self.stop()
            self.status = "CANCELED"
            self.updated_at = self.clock.iso()

    def record(self) -> dict[str, Any]:
        """Return the stage's part of the run record."""
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

    :param next_script: returns the next script of a module, for the stages without their own script.
    :param topic: the streams of the run.
    """

    def __init__(
        self, script: WorkflowScript, next_script: Callable[[str], Script], clock: Clock, topic: Topic
    ) -> None:
        self.id = str(uuid4())
        self.topic = topic
        self.status = "CREATED"
        self.stages = [
            Stage(stage.module, stage.script or next_script(stage.module), clock, self._stage_changed)
            for stage in script.stages
        ]
        self._script = script
        self._clock = clock
        self._timer: asyncio.Handle | None = None
        self._cancel_requested_at: str | None = None
        self._cancel_reason: str | None = None
        self._created_at = self._updated_at = clock.iso()

    @property
    def ended(self) -> bool:
        """Whether the status is terminal."""
        return self.status in TERMINAL

    def play(self) -> None:
        """Begin with the first stage in the event loop's next iteration."""
        self._timer = asyncio.get_running_loop().call_soon(self._begin)

    def resume(self) -> None:
        """Continue after a `stop`."""
        if self.status == "CREATED":
            self.play()
        for stage in self.stages:
            if not stage.ended:
                stage.resume()

    def count_poll(self) -> None:
        """Count a read of the run record as a read of the current stage."""
        if not self.ended and (current := self._current_stage()) is not None:
            current.count_poll()

    def cancel(self, reason: str | None = None) -> None:
        """Change the status of the run and of its unfinished stages to CANCELED.

        :raises ValueError: if the run has ended.
        """
        if self.ended:
            raise ValueError(f"{self.id} is {self.status} already")
        self._cancel_requested_at, self._cancel_reason = self._clock.iso(), reason
        self._end("CANCELED")

    def stop(self) -> None:
        """Stop following the scripts of the stages, without a change of any status."""
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
        """Return the stream event for the current status."""
        shown = ("id", "module", "status", "executionEventId", "executionAttempt")
        unfinished = [stage.record() for stage in self.stages if not stage.ended]
        output = {
            **self._progress(),
            "nonTerminalStages": [{name: stage[name] for name in shown} for stage in unfinished],
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
        self._change_status("EXECUTING")
        self._next_stage()

    def _stage_changed(self, stage: Stage) -> None:
        if stage.status == "FAILED" or self._current_stage() is None:
            self._finish()
            return
        self._change_status("EXECUTING")
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
        if (stage := self._current_stage()) is None:
            self._finish()
        else:
            stage.dispatch()

    def _current_stage(self) -> Stage | None:
        return next((stage for stage in self.stages if not stage.ended), None)

    def _end(self, status: Ending) -> None:
        self.stop()
        for stage in self.stages:
            stage.cancel()
        self._change_status(status)

    def _change_status(self, status: str) -> None:
        self.status = status
        self._updated_at = self._clock.iso()
        self.topic.publish(self.event())
