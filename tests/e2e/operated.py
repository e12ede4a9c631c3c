"""DAG runs of the operators by name, and what White Rabbit saw of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, Entry
from dev.harness.airflow_api import DagRun, until
from dev.harness.airflow_home import AirflowHome


class Operated:
    """DAG runs that go on at the same time: each test waits for its own."""

    def __init__(self, airflow: AirflowHome, wr: Emulator) -> None:
        self.airflow = airflow
        self.wr = wr
        self.runs: dict[str, DagRun] = {}

    def component(self, name: str, dag_id: str, **script: Any) -> None:
        """Start a run whose component, a module of its own, follows a script."""
        self.wr.script(module_of(name), **script)
        self.runs[name] = self.airflow.run(dag_id, {"module": module_of(name)})

    def workflow(self, name: str, dag_id: str, stages: Sequence[Any], **ending: Any) -> None:
        """Start a run whose workflow, one of its own, follows a script."""
        self.wr.script_workflow(module_of(name), stages, **ending)
        self.runs[name] = self.airflow.run(dag_id, {"workflow": module_of(name)})

    def ended(self, name: str, timeout: float = 180) -> DagRun:
        """Return a run that has ended; tell what Airflow logged if it doesn't end."""
        run = self.runs[name]
        try:
            run.wait(timeout)
        except TimeoutError as error:
            pytest.fail(f"{error}\n{self.airflow.explain(run)}")
        return run

    def wait_until_deferred(self, name: str) -> str:
        """Wait until a component is waited for in the triggerer, and nowhere else; return its execution's id."""
        run = self.runs[name]
        task = run.wait_for("execute", {"deferred"}, 120)
        until(lambda: "record" in self.calls(name), "the trigger to read the record", 60)
        until(lambda: not self.airflow.is_busy_with(task), "the worker to be free", 60)
        return self.execution_id(name)

    def go_on_when_watched(self, name: str) -> None:
        """Let a workflow end its first stage as soon as somebody waits for its run."""
        run = self.runs[name]
        submits = "start" if run.dag_id.endswith("_sensor") else "execute"
        run_id = until(lambda: run.xcom(submits, "workflow_run_id"), f"the id of {name}", 180)
        self.wr.wait_for_stream(run_id, timeout=180)
        self.wr.complete_stage(run_id, 0)

    def execution_id(self, name: str) -> str:
        """Return the id of the one execution that the component had."""
        (identity,) = (record["id"] for record in self.wr.executions if record["module"] == module_of(name))
        return identity

    def calls(self, name: str) -> list[str]:
        """Return what was asked of White Rabbit, in order: the kinds of the requests."""
        identity = self.execution_id(name)
        return [entry.kind for entry in self.wr.journal if _is_for(entry, module_of(name), identity)]


def module_of(name: str) -> str:
    """Return the module, or the workflow, that belongs to a name."""
    return name.upper().replace(" ", "_")


def _is_for(entry: Entry, module: str, identity: str) -> bool:
    return identity in entry.path or (entry.kind == "submit" and entry.json["module"] == module)
