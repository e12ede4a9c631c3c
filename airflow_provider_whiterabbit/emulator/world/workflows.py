"""Emulated workflows: the scripts of workflow stages, and workflow runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.executions import TERMINAL, Task
from airflow_provider_whiterabbit.emulator.world.scripts import Script, ScriptOptions
from airflow_provider_whiterabbit.emulator.world.streams import Event, Topic

Ending = Literal["COMPLETED", "FAILED", "CANCELED"]


class StageOptions(ScriptOptions):
    """A workflow stage as a dict: the module that the stage executes, and the parameters of the stage's `Script`."""

    module: str


@dataclass(frozen=True, slots=True)
class StageScript:
    """The module that a workflow stage executes, and the script of the stage.

    :param script: None to use the next script of the module, as an execution does.
    """

    module: str
    script: Script | None = None

    @classmethod
    def from_options(cls, options: StageOptions) -> StageScript:
        """Create a `StageScript` from a dict of the stage's module and the parameters of `Script`.

        :raises ValueError: if ``module`` is missing, or as `Script` does.
        :raises TypeError: if `options` is no dict, or as `Script` does.
        """
        if not isinstance(options, Mapping):
            raise TypeError(f'a stage must be a dict, such as {{"module": "SWAP", "output": 1}}, not {options!r:.80}')
        stage_script_options: dict[str, Any] = {name: value for name, value in options.items() if name != "module"}
        if not isinstance(options.get("module"), str):
            raise ValueError("a stage needs a module")
        return cls(options["module"], Script(**stage_script_options) if stage_script_options else None)


@dataclass(frozen=True, slots=True)
class WorkflowScript:
    """How the runs of a workflow proceed: the stages of a workflow run are executed in order.

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
        self._on_stage_change = on_change
        self._stage_event_id: str | None = None
        self._stage_dispatched_at: str | None = None

    def status_changed(self) -> None:
        """Inform the workflow run that the status of the stage has changed."""
        self._on_stage_change(self)

    def dispatch(self) -> None:
        """Start this stage of the workflow run. Nothing happens if the stage has been started already."""
        if self._stage_event_id is None:
            self._stage_event_id = str(uuid4())
            self._stage_dispatched_at = self.clock.iso()
            self.follow_script()

    def cancel(self) -> None:
        """Change the status of the stage to CANCELED. Nothing happens if the stage has ended."""
        if not self.ended:
            self.stop()
            self.status = "CANCELED"
            self.updated_at = self.clock.iso()

    def record(self) -> dict[str, Any]:
        """Return the stage's part of the workflow run's record."""
        return {
            "id": self.id,
            "module": self.module,
            "status": self.status,
            "output": self.output,
            "error": self.error,
            "creditUsage": self.usage,
            "executionEventId": self._stage_event_id,
            "executionDispatchedAt": self._stage_dispatched_at,
            "executionAttempt": 1,
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
        self._workflow_script = script
        self._run_clock = clock
        self._run_timer: asyncio.Handle | None = None
        self._run_cancel_requested_at: str | None = None
        self._run_cancel_reason: str | None = None
        self._run_created_at = self._run_updated_at = clock.iso()

    @property
    def ended(self) -> bool:
        """Whether the workflow run has ended."""
        return self.status in TERMINAL

    def play(self) -> None:
        """Start the first stage of the workflow run in the event loop's next iteration."""
        self._run_timer = asyncio.get_running_loop().call_soon(self._begin_run)

    def resume(self) -> None:
        """Continue the workflow run after `stop`."""
        if self.status == "CREATED":
            self.play()
        for stage in self.stages:
            if not stage.ended:
                stage.resume()

    def count_poll(self) -> None:
        """Count a read of the run's record for the current stage, whose script may end the stage after so many."""
        if not self.ended and (current_stage := self._current_stage()) is not None:
            current_stage.count_poll()

    def cancel(self, reason: str | None = None) -> None:
        """Change the status of the workflow run and of its unfinished stages to CANCELED.

        :raises ValueError: if the run has ended.
        """
        if self.ended:
            raise ValueError(f"{self.id} is {self.status} already")
        self._run_cancel_requested_at, self._run_cancel_reason = self._run_clock.iso(), reason
        self._end_run("CANCELED")

    def stop(self) -> None:
        """Stop the scripts of the workflow run's stages, without a change of any status."""
        if self._run_timer is not None:
            self._run_timer.cancel()
        for stage in self.stages:
            stage.stop()

    def record(self) -> dict[str, Any]:
        """Return the record of the workflow run."""
        return {
            "id": self.id,
            "status": self.status,
            **self._run_progress(),
            "createdAt": self._run_created_at,
            "updatedAt": self._run_updated_at,
            "runStages": [stage.record() for stage in self.stages],
        }

    def event(self) -> Event:
        """Return the stream event for the workflow run's current status."""
        shown_stage_fields = ("id", "module", "status", "executionEventId", "executionAttempt")
        unfinished_stages = [stage.record() for stage in self.stages if not stage.ended]
        run_output = {
            **self._run_progress(),
            "nonTerminalStages": [{name: stage[name] for name in shown_stage_fields} for stage in unfinished_stages],
        }
        run_data = {"id": self.id, "status": self.status, "output": run_output, "timestamp": self._run_updated_at}
        return Event(run_data, self.ended)

    def _run_progress(self) -> dict[str, Any]:
        return {
            "pendingStageCount": sum(not stage.ended for stage in self.stages),
            "failedStageCount": sum(stage.status == "FAILED" for stage in self.stages),
            "cancelRequestedAt": self._run_cancel_requested_at,
            "cancelReason": self._run_cancel_reason,
            "totalUsage": sum(stage.usage for stage in self.stages),
        }

    def _begin_run(self) -> None:
        self._change_run_status("EXECUTING")
        self._dispatch_next_stage()

    def _stage_changed(self, stage: Stage) -> None:
        if stage.status == "FAILED" or self._current_stage() is None:
            self._finish_run()
            return
        self._change_run_status("EXECUTING")
        if stage.ended:
            self._dispatch_next_stage()

    def _finish_run(self) -> None:
        stage_failed = any(stage.status == "FAILED" for stage in self.stages)
        run_ending = self._workflow_script.ending or ("FAILED" if stage_failed else "COMPLETED")
        if run_ending == "CANCELED":
            self.cancel(self._workflow_script.reason)
        else:
            self._end_run(run_ending)

    def _dispatch_next_stage(self) -> None:
        if (stage := self._current_stage()) is None:
            self._finish_run()
        else:
            stage.dispatch()

    def _current_stage(self) -> Stage | None:
        return next((stage for stage in self.stages if not stage.ended), None)

    def _end_run(self, run_status: Ending) -> None:
        self.stop()
        for stage in self.stages:
            stage.cancel()
        self._change_run_status(run_status)

    def _change_run_status(self, run_status: str) -> None:
        self.status = run_status
        self._run_updated_at = self._run_clock.iso()
        self.topic.publish(self.event())
