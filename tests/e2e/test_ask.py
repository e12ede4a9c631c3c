"""End-to-end tests of `on_doubt="ask"`: processes are killed while a task awaits an answer, and after the answer.

The tests share the session's Airflow. Their tasks have an emulator and a pool of their own, because the tests inject
faults and count slots.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.airflow_api import DagRun, TaskInstance
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from tests.versions import needs_store

pytestmark = [pytest.mark.e2e, pytest.mark.long, needs_store]

MODULES = ("SCHEDULER_KILLED", "RESUMED_WORKER_KILLED", "SUBMITTING_WORKER_KILLED")
"""The module that each test's task submits."""


@pytest.fixture(scope="module")
def asked() -> Iterator[Emulator]:
    """Run an emulator that no other module's tests use, because these tests inject faults into it."""
    with Emulator(components=MODULES) as emulator:
        numbers = itertools.count(1)
        for module in MODULES:
            emulator.script(module, output=lambda _input, _config: {"number": next(numbers)})
        yield emulator


@pytest.fixture(scope="module")
def runs(airflow: AirflowHome, asked: Emulator) -> dict[str, DagRun]:
    """Start a run for each module; return the runs when all tasks ask, because White Rabbit's answers were lost."""
    connection = asked.connection | {"connection_id": "asked", "extra": json.dumps(asked.connection["extra"])}
    airflow.api.call("POST", "/connections", connection)
    airflow.api.call("POST", "/pools", {"name": "asking", "slots": len(MODULES)})
    asked.fault(effects.Answer(502, "<html>", process=True), kind="submit", times=len(MODULES))
    runs = {module: airflow.run("e2e_ask", {"module": module}) for module in MODULES}
    for run in runs.values():
        wait_for_question(airflow, run)
    return runs


def wait_for_question(airflow: AirflowHome, run: DagRun) -> TaskInstance:
    """Wait until the run's task is parked and its worker process has exited (see `AirflowHome.is_busy_with`)."""
    task = run.wait_for("pay", {"awaiting_input"}, 120)
    assert task.state == "awaiting_input", "\n".join(run.messages("pay"))
    until(lambda: not airflow.is_busy_with(task), "the worker to be free", 60)
    return task


def answer(run: DagRun, option: str, **fields: str) -> None:
    """Answer the question of the run's task with Airflow's REST API."""
    body = {"chosen_options": [option], "params_input": fields}
    run.api.call("PATCH", f"{run.path}/taskInstances/pay/-1/hitlDetails", body)


def executions(asked: Emulator, module: str) -> list[dict[str, Any]]:
    """Return the records of a module's executions, oldest first."""
    return [record for record in asked.executions if record["module"] == module]


def kill_worker(run: DagRun, asked: Emulator, held: effects.Fault) -> None:
    """Kill the process of the run's task when the emulator holds its request; then let the emulator continue."""
    until(lambda: held.hits, "the request of the resumed task", 60)
    psutil.Process(run.task("pay").pid).kill()
    until(lambda: run.task("pay").state != "running", "Airflow to notice the kill", 60)
    asked.release(held)


def check_success(run: DagRun, execution: dict[str, Any]) -> None:
    """Check that the run's task succeeds with the output of an execution."""
    assert run.wait_for("pay", {"awaiting_input"}).state == "success", "\n".join(run.messages("pay"))
    assert (run.xcom("pay"), run.xcom("pay", "execution_id")) == (execution["output"], execution["id"])


def test_parked_tasks_hold_nothing(airflow: AirflowHome, runs: dict[str, DagRun]) -> None:
    """Tasks that await an answer occupy no worker process, no pool slot and no trigger."""
    tasks = [run.task("pay") for run in runs.values()]
    assert {(task.state, task.trigger) for task in tasks} == {("awaiting_input", None)}
    assert not airflow.is_busy_with(*tasks)
    pool = airflow.api.call("GET", "/pools/asking")
    assert (pool["occupied_slots"], pool["open_slots"]) == (0, pool["slots"])


def test_scheduler_is_killed_while_the_task_is_parked(
    airflow: AirflowHome, runs: dict[str, DagRun], asked: Emulator
) -> None:
    """A question survives the death of the scheduler and its workers; the answer then ends the task."""
    run, (execution,) = runs["SCHEDULER_KILLED"], executions(asked, "SCHEDULER_KILLED")
    until(lambda: not airflow.api.call("GET", "/pools/default_pool")["occupied_slots"], "other modules' tasks", 120)
    airflow.kill("scheduler")
    airflow.start("scheduler")
    airflow.wait_until_ready()
    assert {run.task("pay").state for run in runs.values()} == {"awaiting_input"}
    answer(run, "It is there", execution_id=execution["id"])
    check_success(run, execution)
    assert executions(asked, "SCHEDULER_KILLED") == [execution]


def test_resumed_worker_is_killed(runs: dict[str, DagRun], asked: Emulator) -> None:
    """If the worker dies that resumes the task after the answer, the retry obeys the answer and does not ask again."""
    run, (execution,) = runs["RESUMED_WORKER_KILLED"], executions(asked, "RESUMED_WORKER_KILLED")
    held = asked.fault(effects.Hold(before=True), kind="record", path=f"*/{execution['id']}")
    answer(run, "It is there", execution_id=execution["id"])
    kill_worker(run, asked, held)
    check_success(run, execution)
    assert run.task("pay").try_number == 2
    assert executions(asked, "RESUMED_WORKER_KILLED") == [execution]


def test_worker_is_killed_while_it_submits_anew(airflow: AirflowHome, runs: dict[str, DagRun], asked: Emulator) -> None:
    """If the worker dies while it submits anew after the answer, the retry asks again and does not submit."""
    module = "SUBMITTING_WORKER_KILLED"
    run = runs[module]
    held = asked.fault(effects.Hold(), kind="submit")
    answer(run, "Submit now")
    kill_worker(run, asked, held)
    assert wait_for_question(airflow, run).try_number == 2
    assert len(executions(asked, module)) == 2
