"""DAG runs that are started together and found by name: a test waits for its run while the others continue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, Entry
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until


def wait_until_deferred(airflow: AirflowHome, run: DagRun, task_id: str, map_index: int = -1) -> None:
    """Wait until only the triggerer waits for a task, and no worker: what the task waits for may end now.

    Airflow counts the late exit of a process that has deferred its task as a failure of the resumed task (see
    `AirflowHome.is_busy_with`).
    """
    task = run.wait_for(task_id, {"deferred"}, 180, map_index)
    until(lambda: not airflow.is_busy_with(task), "the worker to be free", 120)


def wait_for_log(run: DagRun, task_id: str, *texts: str) -> None:
    """Wait until the log of a task that has ended holds all texts: Airflow writes it beside the end of the task."""
    for text in texts:
        until(lambda text=text: text in run.log(task_id), f"{text!r} in the log of {run.dag_id}.{task_id}", 60)


class NamedRuns:
    """DAG runs by name; `airflow` runs them, and the emulator `wr` answers their requests."""

    def __init__(self, airflow: AirflowHome, wr: Emulator) -> None:
        self.airflow = airflow
        self.wr = wr
        self.runs: dict[str, DagRun] = {}

    def ended(self, name: str, timeout: float = 180) -> DagRun:
        """Wait until a run has ended and return it; fail the test with Airflow's logs if it does not end.

        :param timeout: seconds.
        """
        run = self.runs[name]
        try:
            run.wait(timeout)
        except TimeoutError as error:
            pytest.fail(f"{error}\n{self.airflow.explain(run)}")
        return run


class SensorRuns(NamedRuns):
    """Runs of the sensors' DAGs; `executions` holds the id of the execution that each run waits for."""

    def __init__(self, airflow: AirflowHome, wr: Emulator) -> None:
        super().__init__(airflow, wr)
        self.executions: dict[str, str] = {}

    def start(self, name: str, dag_id: str, **script: Any) -> None:
        """Create an execution that follows a script, and start a run that waits for it."""
        self.executions[name] = self.wr.create_execution(module="E2E", **script)
        self.runs[name] = self.airflow.run(dag_id, {"execution_id": self.executions[name]})

    def wait_until_deferred(self, name: str) -> str:
        """Wait until a run's sensor has an event stream and no worker; return the id of its execution."""
        wait_until_deferred(self.airflow, self.runs[name], "wait")
        self.wr.wait_for_stream(self.executions[name], timeout=120)
        return self.executions[name]


class OperatorRuns(NamedRuns):
    """Runs of the operators' DAGs; each run has a module or a workflow of its own at White Rabbit (see `module_of`)."""

    def start_component(self, name: str, dag_id: str, **script: Any) -> None:
        """Start a run whose component follows a script."""
        self.wr.component(module_of(name))
        self.wr.script(module_of(name), **script)
        self.runs[name] = self.airflow.run(dag_id, {"module": module_of(name)})

    def start_workflow(self, name: str, dag_id: str, stages: Sequence[Any], **ending: Any) -> None:
        """Start a run whose workflow has scripted stages and a scripted ending."""
        self.wr.script_workflow(module_of(name), stages, **ending)
        self.runs[name] = self.airflow.run(dag_id, {"workflow": module_of(name)})

    def wait_until_deferred(self, name: str) -> str:
        """Wait until only the triggerer waits for a component, and no worker; return the id of its execution."""
        wait_until_deferred(self.airflow, self.runs[name], "execute")
        until(lambda: "record" in self.calls(name), "the trigger to read the record", 60)
        return self.execution_id(name)

    def complete_first_stage(self, name: str) -> None:
        """Complete the first stage of a workflow as soon as its run has an event stream and, if deferred, no worker."""
        run = self.runs[name]
        if run.dag_id != "e2e_workflow_worker":
            wait_until_deferred(self.airflow, run, "execute")
        submitting_task = "start" if run.dag_id.endswith("_sensor") else "execute"
        run_id = until(lambda: run.xcom(submitting_task, "workflow_run_id"), f"the id of {name}", 180)
        self.wr.wait_for_stream(run_id, timeout=180)
        self.wr.complete_stage(run_id, 0)

    def execution_id(self, name: str) -> str:
        """Return the id of the only execution of a run's component."""
        (identity,) = (record["id"] for record in self.wr.executions if record["module"] == module_of(name))
        return identity

    def calls(self, name: str) -> list[str]:
        """Return the kinds of the requests for a run's component, in order, for example ``["submit", "stream"]``."""
        identity = self.execution_id(name)
        return [entry.kind for entry in self.wr.journal if _is_about(entry, module_of(name), identity)]


def module_of(name: str) -> str:
    """Return the module, or the workflow id, that belongs to the name of a run."""
    return name.upper().replace(" ", "_")


def _is_about(entry: Entry, module: str, identity: str) -> bool:
    return identity in entry.path or (entry.kind == "submit" and entry.json["module"] == module)
