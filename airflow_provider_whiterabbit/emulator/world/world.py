"""All that the emulator knows. Belongs to one event loop; nothing in here is thread-safe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from itertools import count
from typing import Any

from airflow_provider_whiterabbit.emulator.effects.base import Fault
from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.streams import Topic
from airflow_provider_whiterabbit.emulator.world.catalogue import Catalogue
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.deliveries import Deliveries
from airflow_provider_whiterabbit.emulator.world.errors import ApiError, not_found
from airflow_provider_whiterabbit.emulator.world.executions import Callback, Execution
from airflow_provider_whiterabbit.emulator.world.journal import Journal
from airflow_provider_whiterabbit.emulator.world.scripts import Script, ScriptBook
from airflow_provider_whiterabbit.emulator.world.settings import Settings
from airflow_provider_whiterabbit.emulator.world.workflows import Run, Stage, StageScript, WorkflowScript

_BUILT_IN = {
    "demo": WorkflowScript([StageScript("RANDOM_UUID"), StageScript("DEMO_TOKEN_SWAP", Script(after=2))]),
}


class World:
    """Executions, runs, scripts, faults and the journal."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._initial = replace(settings)
        self.clock = Clock(settings)
        self.journal = Journal()
        self.scripts = ScriptBook()
        self.catalogue = Catalogue()
        self.deliveries = Deliveries(self.clock, settings)
        self.faults: list[Fault] = []
        self.executions: dict[str, Execution] = {}
        self.runs: dict[str, Run] = {}
        self.streams_changed = Changes()
        self._workflows = dict(_BUILT_IN)
        self._components: dict[tuple[str, str], dict[str, Any]] = {}
        self._jobs = count(12345)

    def create_execution(
        self, module: str, inputs: Any, config: Any, script: Script | None = None, callback: Callback | None = None
    ) -> Execution:
        """Create an execution that follows the module's next script, or the one that is given."""
        execution = Execution(
            module,
            inputs,
            config,
            script or self.scripts.next(module),
            self.clock,
            topic=Topic(self.streams_changed),
            callback=callback or Callback(),
            on_end=self.deliveries.deliver,
        )
        self.executions[execution.id] = execution
        execution.play()
        return execution

    def execution(self, execution_id: str) -> Execution:
        """Return an execution.

        :raises ApiError: 404 if there is none of that id.
        """
        try:
            return self.executions[execution_id]
        except KeyError:
            raise not_found("execution", execution_id) from None

    def script_workflow(self, workflow_id: str, script: WorkflowScript) -> None:
        """Make a workflow known, or change what its next runs do."""
        self._workflows[workflow_id] = script

    def workflow(self, workflow_id: str) -> WorkflowScript:
        """Return what the runs of a workflow do.

        :raises ApiError: 403 if the key may not use it, 404 if it is not known.
        """
        allowed = self.settings.allowed_workflows
        if allowed is not None and workflow_id not in allowed:
            raise ApiError(403, "WORKFLOW_NOT_ALLOWED", f"This key may not use the workflow {workflow_id!r:.80}.")
        try:
            return self._workflows[workflow_id]
        except KeyError:
            raise not_found("workflow", workflow_id) from None

    def create_run(self, workflow_id: str) -> tuple[Run, str]:
        """Start a workflow and return the run and its job id.

        :raises ApiError: as `workflow`.
        """
        run = Run(self.workflow(workflow_id), self.scripts.next, self.clock, Topic(self.streams_changed))
        self.runs[run.id] = run
        run.play()
        return run, f"bull-{next(self._jobs)}"

    def run(self, run_id: str) -> Run:
        """Return a run.

        :raises ApiError: 404 if there is none of that id.
        """
        try:
            return self.runs[run_id]
        except KeyError:
            raise not_found("run", run_id) from None

    def stage(self, run_id: str, stage: int | str) -> Stage:
        """Return a stage of a run by its position (from 0) or id.

        :raises ApiError: 404 if there is none.
        """
        for position, candidate in enumerate(self.run(run_id).stages):
            if stage in (position, str(position), candidate.id):
                return candidate
        raise not_found("stage", str(stage))

    def update_component(self, workflow_id: str, component_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Change a component of a workflow and return it.

        :raises ApiError: as `workflow`.
        """
        self.workflow(workflow_id)
        component = self._components.setdefault((workflow_id, component_id), {"id": component_id})
        component.update(changes)
        return dict(component)

    def fault(self, fault_id: str) -> Fault:
        """Return a fault by its position in the order of adding, from 0.

        :raises ApiError: 404 if there is none.
        """
        if fault_id.isdecimal() and int(fault_id) < len(self.faults):
            return self.faults[int(fault_id)]
        raise not_found("fault", fault_id)

    def topic(self, identity: str) -> Topic:
        """Return the topic of an execution or a run.

        :raises ApiError: 404 if there is neither.
        """
        return self.runs[identity].topic if identity in self.runs else self.execution(identity).topic

    def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Change settings from JSON; ``streams`` holds what changes in the stream options.

        :raises ValueError: if a name is not that of a setting.
        """
        unknown = changes.keys() - {setting.name for setting in fields(Settings)}
        if unknown:
            raise ValueError(f"no such settings: {', '.join(sorted(unknown))}")
        for name, value in changes.items():
            setattr(self.settings, name, replace(self.settings.streams, **value) if name == "streams" else value)

    def clear_faults(self) -> None:
        """Forget all faults, and let go what they hold back."""
        for fault in self.faults:
            fault.release()
        self.faults.clear()

    def stop(self) -> None:
        """Let nothing happen by itself any more, and end all streams cleanly."""
        self.close_streams()
        for followed in self._everything():
            followed.stop()

    def resume(self) -> None:
        """Let happen what `stop` has stopped; what was due meanwhile happens now."""
        for followed in self._everything():
            if not followed.ended:
                followed.resume()

    def close_streams(self) -> None:
        """End all streams cleanly."""
        for followed in self._everything():
            followed.topic.close()

    def clear(self) -> None:
        """Forget everything, and restore the settings. Streams end cleanly."""
        for setting in fields(Settings):
            setattr(self.settings, setting.name, getattr(self._initial, setting.name))
        self.stop()
        self.executions.clear()
        self.runs.clear()
        self.faults.clear()
        self.journal.clear()
        self.scripts.clear()
        self.catalogue.clear()
        self._workflows = dict(_BUILT_IN)
        self._components.clear()

    def _everything(self) -> list[Execution | Run]:
        return [*self.executions.values(), *self.runs.values()]
