"""What a test tells the emulator to do, and asks it about."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, Unpack

from airflow_provider_whiterabbit.emulator.effects.base import Effect, Fault
from airflow_provider_whiterabbit.emulator.plumbing.background import Background
from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.world.journal import Entry, Kind
from airflow_provider_whiterabbit.emulator.world.scripts import DEFAULT, Script, ScriptOptions
from airflow_provider_whiterabbit.emulator.world.workflows import Ending, StageOptions, StageScript, WorkflowScript
from airflow_provider_whiterabbit.emulator.world.world import World

T = TypeVar("T")


class Scripting:
    """Executions, workflows, streams, faults and the journal of a running emulator.

    Every method may be called from any thread. Those that wait block their thread: an asynchronous test whose own loop
    has to move meanwhile calls them through `asyncio.to_thread`. An id that does not exist raises `ApiError`, as the
    server would answer.
    """

    def __init__(self, world: World, background: Background) -> None:
        self._world = world
        self._background = background

    # --- executions

    def script(self, module: str, *steps: Script, **options: Unpack[ScriptOptions]) -> None:
        """Say what the module's next executions do: either `steps` in turn, or `options` (see `Script`) for all.

        :raises ValueError: if both are given, or as `Script` does.
        """
        if steps and options:
            raise ValueError("give scripts or options, not both")
        scripts = steps or (Script(**options),)
        self._call(lambda: self._world.scripts.write(module, scripts))

    def create_execution(
        self, module: str, inputs: Any = None, config: Any = None, **options: Unpack[ScriptOptions]
    ) -> str:
        """Create an execution without a request and return its id; without options it follows the module's script."""
        script = Script(**options) if options else None
        return self._call(lambda: self._world.create_execution(module, inputs or {}, config or {}, script).id)

    def start(self, execution_id: str) -> None:
        """Let an execution be EXECUTING."""
        self._call(lambda: self._world.execution(execution_id).start())

    def complete(self, execution_id: str, output: Any = DEFAULT, *, usage: float | None = None) -> None:
        """Let an execution be COMPLETED, by default with the output of its script.

        :raises ValueError: if it has ended before.
        """
        self._call(lambda: self._world.execution(execution_id).complete(output, usage))

    def fail(self, execution_id: str, error: Any, *, usage: float | None = None) -> None:
        """Let an execution be FAILED.

        :raises ValueError: if it has ended before.
        """
        self._call(lambda: self._world.execution(execution_id).fail(error, usage))

    def execution(self, execution_id: str) -> dict[str, Any]:
        """Return the record of an execution. Not counted as a poll."""
        return self._call(lambda: self._world.execution(execution_id).record())

    @property
    def executions(self) -> list[dict[str, Any]]:
        """The records of all executions, oldest first."""
        return self._call(lambda: [execution.record() for execution in self._world.executions.values()])

    # --- workflows

    def script_workflow(
        self,
        workflow_id: str,
        stages: Sequence[StageOptions],
        *,
        ending: Ending | None = None,
        reason: str | None = None,
    ) -> None:
        """Make a workflow known, and say what its next runs do (see `WorkflowScript`).

        :param stages: one after the other, such as ``{"module": "SWAP", "output": {...}, "after": 2.0}``.
        """
        script = WorkflowScript([StageScript.from_options(stage) for stage in stages], ending, reason)
        self._call(lambda: self._world.script_workflow(workflow_id, script))

    def create_run(self, workflow_id: str) -> str:
        """Start a workflow without a request and return the id of the run."""
        return self._call(lambda: self._world.create_run(workflow_id)[0].id)

    def cancel_run(self, run_id: str, reason: str | None = None) -> None:
        """Let a run be CANCELED."""
        self._call(lambda: self._world.run(run_id).cancel(reason))

    def start_stage(self, run_id: str, stage: int) -> None:
        """Let a stage, counted from 0, be RUNNING."""
        self._call(lambda: self._world.stage(run_id, stage).start())

    def complete_stage(self, run_id: str, stage: int, output: Any = DEFAULT, *, usage: float | None = None) -> None:
        """Let a stage be COMPLETED, by default with the output of its script."""
        self._call(lambda: self._world.stage(run_id, stage).complete(output, usage))

    def fail_stage(self, run_id: str, stage: int, error: Any, *, usage: float | None = None) -> None:
        """Let a stage be FAILED."""
        self._call(lambda: self._world.stage(run_id, stage).fail(error, usage))

    def run(self, run_id: str) -> dict[str, Any]:
        """Return the record of a run. Not counted as a poll."""
        return self._call(lambda: self._world.run(run_id).record())

    def add_component(self, definition: Mapping[str, Any]) -> None:
        """Add a definition to the component catalogue, or replace the one of the same module."""
        self._call(lambda: self._world.catalogue.add(definition))

    # --- streams

    def stream_options(self, identity: str | None = None, **changes: Any) -> None:
        """Change options (see `StreamOptions`) for streams that are opened from now on.

        :param identity: id of an execution or run; None for all that have no options of their own.
        """

        def change() -> None:
            if identity is None:
                self._world.settings.streams = replace(self._world.settings.streams, **changes)
            else:
                topic = self._world.topic(identity)
                topic.options = replace(topic.options or self._world.settings.streams, **changes)

        self._call(change)

    def streams(self, identity: str) -> int:
        """Return how many streams of an execution or run are open."""
        return self._call(lambda: len(self._world.topic(identity)))

    def send_raw(self, identity: str, data: bytes) -> None:
        """Send bytes as they are into the open streams of an execution or run."""
        self._call(lambda: self._world.topic(identity).send_raw(data))

    def close_streams(self, identity: str | None = None) -> None:
        """Close the open streams of an execution or run cleanly, or all that there are."""
        self._call(self._world.close_streams if identity is None else lambda: self._world.topic(identity).close())

    # --- faults

    def fault(
        self,
        effect: Effect,
        *,
        kind: Kind | None = None,
        method: str | None = None,
        path: str | None = None,
        skip: int = 0,
        times: int | None = 1,
    ) -> Fault:
        """Let something go wrong, by default once (see `Fault`); `release` lets go what it holds back."""
        fault = Fault(effect, kind, method, path, skip, times)
        self._call(lambda: self._world.faults.append(fault))
        return fault

    def release(self, fault: Fault) -> None:
        """Let the requests go on that a `Hold` holds back, and those to come."""
        self._call(fault.release)

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self._call(self._world.clear_faults)

    # --- what was asked

    @property
    def journal(self) -> list[Entry]:
        """All requests but those to the control endpoints, in order of arrival."""
        return self._call(lambda: self._world.journal.entries)

    def requests(
        self, *, method: str | None = None, path: str | re.Pattern[str] | None = None, kind: Kind | None = None
    ) -> list[Entry]:
        """Return the requests of the journal that match (see `Entry.matches`)."""
        return [entry for entry in self.journal if entry.matches(method, path, kind)]

    def wait_for_request(
        self,
        *,
        method: str | None = None,
        path: str | re.Pattern[str] | None = None,
        kind: Kind | None = None,
        count: int = 1,
        answered: bool = False,
        timeout: float = 10.0,
    ) -> list[Entry]:
        """Return the matching requests as soon as there are `count`.

        :param answered: count only those whose answer has begun.
        :param timeout: seconds.
        :raises TimeoutError: if they don't come.
        """
        journal = self._world.journal

        def found() -> list[Entry]:
            entries = [entry for entry in journal.entries if entry.matches(method, path, kind)]
            return [entry for entry in entries if entry.status is not None or not answered]

        self._until(journal.changes, lambda: len(found()) >= count, timeout)
        return self._call(found)

    def wait_for_stream(self, identity: str, *, count: int = 1, timeout: float = 10.0) -> None:
        """Return as soon as `count` streams of an execution or run are open; 0 waits for the last to leave.

        :raises TimeoutError: if they don't come within that many seconds.
        """
        topic = self._call(lambda: self._world.topic(identity))
        enough = (lambda: len(topic) >= count) if count else (lambda: len(topic) == 0)
        self._until(self._world.streams_changed, enough, timeout)

    def wait_for_delivery(self, execution_id: str, *, count: int = 1, timeout: float = 10.0) -> None:
        """Return as soon as `count` callback deliveries of an execution have succeeded or were given up.

        :raises TimeoutError: if that takes more than that many seconds.
        """
        execution = self._call(lambda: self._world.execution(execution_id))
        self._until(execution.changes, lambda: execution.callback.finished >= count, timeout)

    def _call(self, function: Callable[[], T]) -> T:
        return self._background.call(function)

    def _until(self, changes: Changes, true: Callable[[], bool], timeout: float) -> None:
        self._background.wait(changes.until(true), timeout)
