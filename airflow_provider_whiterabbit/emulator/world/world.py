"""`World`: the whole state of one emulator. A `World` belongs to one event loop and is not thread-safe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.world.catalogue import Catalogue
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.deliveries import Deliveries
from airflow_provider_whiterabbit.emulator.world.errors import ApiError, not_found
from airflow_provider_whiterabbit.emulator.world.executions import Callback, Execution
from airflow_provider_whiterabbit.emulator.world.journal import Journal
from airflow_provider_whiterabbit.emulator.world.scripts import Script, ScriptBook
from airflow_provider_whiterabbit.emulator.world.settings import Settings
from airflow_provider_whiterabbit.emulator.world.streams import Topic
from airflow_provider_whiterabbit.emulator.world.workflows import (
    Ending,
    Run,
    Stage,
    StageOptions,
    StageScript,
    WorkflowScript,
)

T = TypeVar("T")

_BUILT_IN = {
    "demo": WorkflowScript([StageScript("RANDOM_UUID"), StageScript("WAIT_FOR_EVM_TRANSACTION", Script(after=2))]),
}


class World:
    """The state of one emulator: executions, workflow runs, scripts, settings, catalogue and received requests.

    :param components: modules of a user's own, beside those of the emulator's catalogue.
    """

    def __init__(self, settings: Settings, components: Iterable[str] = ()) -> None:
        self.settings = settings
        self._initial_settings = replace(settings)
        self.clock = Clock(settings)
        self.journal = Journal()
        self.scripts = ScriptBook()
        self.catalogue = Catalogue(components)
        self.deliveries = Deliveries(self.clock, settings)
        self.executions: dict[str, Execution] = {}
        self.runs: dict[str, Run] = {}
        self.streams_changed = Changes()
        """Wakes coroutines when an event stream of any execution or workflow run is opened or closed."""
        self._workflows = dict(_BUILT_IN)
        self._components: dict[tuple[str, str], dict[str, Any]] = {}
        self._job_numbers = count(12345)

    def create_execution(
        self, module: str, inputs: Any, config: Any, script: Script | None = None, callback: Callback | None = None
    ) -> Execution:
        """Create an execution of a component.

        :param script: None to use the module's next script.
        """
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

    def script(self, module: str, steps: Sequence[Script]) -> None:
        """Set the scripts of a module's next executions.

        :raises ValueError: if the module is not in the catalogue: a misspelt module would never use its script.
        :raises TypeError: if a step is not a `Script`.
        """
        for step in steps:
            if not isinstance(step, Script):
                raise TypeError(f"a script must be a Script, such as Script(output=1), not {step!r:.80}")
        self.catalogue.check(module)
        self.scripts.write(module, steps)

    def check_module(self, module: str | None) -> None:
        """Raise `ValueError` for a module that has neither a definition, nor an execution, nor a request."""
        used = any(execution.module == module for execution in self.executions.values())
        if module is not None and not used and all(entry.module != module for entry in self.journal.entries):
            self.catalogue.check(module)

    def module_of(self, execution_id: object) -> str | None:
        """Return the module of an execution; None if no execution has the id."""
        execution = self.executions.get(execution_id) if isinstance(execution_id, str) else None
        return None if execution is None else execution.module

    def execution(self, execution_id: str) -> Execution:
        """Return the execution with an id; raise `ApiError` 404 if no execution has the id."""
        return _find(self.executions, "execution", execution_id)

    def script_workflow(
        self, workflow_id: str, stages: Sequence[StageOptions], ending: Ending | None = None, reason: str | None = None
    ) -> None:
        """Set the stages and the ending of a workflow's next runs (see `WorkflowScript`); create a missing workflow."""
        stage_scripts = [StageScript.from_options(stage) for stage in stages]
        self._workflows[workflow_id] = WorkflowScript(stage_scripts, ending, reason)

    def workflow(self, workflow_id: str) -> WorkflowScript:
        """Return a workflow's script; raise `ApiError` 404 for an unknown workflow, 403 if the key may not use it."""
        allowed = self.settings.allowed_workflows
        if allowed and workflow_id not in allowed:
            raise ApiError(403, "WORKFLOW_NOT_ALLOWED", f"This key may not use the workflow {workflow_id!r:.80}.")
        return _find(self._workflows, "workflow", workflow_id)

    def create_run(self, workflow_id: str) -> tuple[Run, str]:
        """Start a workflow; return the workflow run and its job id; raise `ApiError` as `World.workflow` does."""
        run = Run(self.workflow(workflow_id), self.scripts.next, self.clock, Topic(self.streams_changed))
        self.runs[run.id] = run
        run.play()
        return run, f"bull-{next(self._job_numbers)}"

    def run(self, run_id: str) -> Run:
        """Return the workflow run with an id; raise `ApiError` 404 if no workflow run has the id."""
        return _find(self.runs, "run", run_id)

    def stage(self, run_id: str, stage: int | str) -> Stage:
        """Return a workflow run's stage by position (from 0) or id; raise `ApiError` 404 if run or stage is unknown."""
        for position, candidate in enumerate(self.run(run_id).stages):
            if stage in (position, str(position), candidate.id):
                return candidate
        raise not_found("stage", str(stage))

    def update_component(self, workflow_id: str, component_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Change a component of a workflow and return the component; raise `ApiError` as `World.workflow` does.

        :param changes: new values; those in ``config`` are added to the config of earlier updates.
        """
        self.workflow(workflow_id)
        component = self._components.setdefault((workflow_id, component_id), {"id": component_id})
        merged = {"config": component.get("config", {}) | changes["config"]} if "config" in changes else {}
        component.update(changes | merged)
        return dict(component)

    def topic(self, identity: str) -> Topic:
        """Return the open event streams of an execution or workflow run; raise `ApiError` 404 for an unknown id."""
        return self.runs[identity].topic if identity in self.runs else self.execution(identity).topic

    def change_stream_options(self, identity: str | None, changes: Mapping[str, Any]) -> None:
        """Change the options of the event streams that clients open after this call.

        :param identity: id of an execution or run; None for every execution and run without its own options.
        """
        if identity is None:
            self.settings.change({"streams": changes})
        else:
            topic = self.topic(identity)
            topic.options = replace(topic.options or self.settings.streams, **changes)

    def stop(self) -> None:
        """Stop the scripts of all executions and workflow runs, and end all event streams cleanly."""
        self.close_streams()
        for task in self._executions_and_runs():
            task.stop()

    def resume(self) -> None:
        """Continue the scripts of all executions and workflow runs after `stop`. Overdue status changes happen now."""
        for task in self._executions_and_runs():
            if not task.ended:
                task.resume()

    def close_streams(self) -> None:
        """End all event streams cleanly."""
        for task in self._executions_and_runs():
            task.topic.close()

    def clear(self) -> None:
        """Remove the emulator's whole state, and restore the initial settings. Event streams end cleanly."""
        self.settings.restore(self._initial_settings)
        self.stop()
        self.executions.clear()
        self.runs.clear()
        self.journal.clear()
        self.scripts.clear()
        self.catalogue.clear()
        self._workflows = dict(_BUILT_IN)
        self._components.clear()

    def _executions_and_runs(self) -> list[Execution | Run]:
        return [*self.executions.values(), *self.runs.values()]


def _find(by_id: Mapping[str, T], noun: str, identity: str) -> T:
    if identity not in by_id:
        raise not_found(noun, identity)
    return by_id[identity]
