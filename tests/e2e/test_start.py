"""End-to-end tests of tasks in a deployment with cluster policies and a listener.

Deferrable sensors shall start in the triggerer by default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.modules import MODULES
from dev.harness.polling import until
from tests.e2e import OUTPUT, PARSE_ONCE, ROOT
from tests.e2e.runs import wait_for_log, wait_until_deferred
from tests.e2e.test_triggerer import FORMS, end_executions
from tests.versions import needs_triggerer_end

pytestmark = [pytest.mark.e2e, needs_triggerer_end]

POLICY = """
from airflow_provider_whiterabbit.client.wait.timing import Timing

def task_policy(task):
    if task.task_id == "capped":
        task.timeout = 30
    if task.task_id == "hooked":
        task.on_execute_callback = [lambda context: None]
    if task.task_id == "patient":
        task.whiterabbit_hook.timing = Timing(alive_interval=1)
"""

LISTENER = """
from pathlib import Path
import os
import sys
from airflow.plugins_manager import AirflowPlugin
from airflow.listeners import hookimpl

@hookimpl
def on_task_instance_success(previous_state, task_instance):
    path = Path(os.environ["AIRFLOW_HOME"]) / "listened" / f"{task_instance.dag_id}.{task_instance.task_id}"
    path.parent.mkdir(exist_ok=True)
    path.touch()

class Listening(AirflowPlugin):
    name = "listening"
    listeners = [sys.modules[__name__]]
"""

OPTIONS = {"AIRFLOW__WHITERABBIT__START_FROM_TRIGGER": "True"}


@pytest.fixture(scope="module")
def wr() -> Iterator[Emulator]:
    """Run an emulator for the tests of this module."""
    with Emulator(components=MODULES) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def literal(wr: Emulator) -> str:
    """Create the execution whose id is a literal in the DAG `e2e_both_completed`."""
    return wr.create_execution("E2E", manual=True)


@pytest.fixture(scope="module")
def airflow(wr: Emulator, literal: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowHome]:
    """Run an Airflow with a cluster policy and a listener."""
    home = tmp_path_factory.mktemp("airflow")
    for path, text in (("config/airflow_local_settings.py", POLICY), ("plugins/listening.py", LISTENER)):
        (home / path).parent.mkdir()
        (home / path).write_text(text)
    environ = (
        wr.environ | PARSE_ONCE | OPTIONS | {"AIRFLOW_CONN_SET_LATER": wr.environ["AIRFLOW_CONN_WHITERABBIT_DEFAULT"]}
    )
    environ["E2E_LITERALS"] = json.dumps({"both_completed": literal})
    folders = [ROOT / "tests" / "e2e" / name for name in ("start_dags", "dags")]
    with AirflowHome(folders, home=home, environ=environ) as airflow:
        yield airflow


@pytest.fixture(scope="module", autouse=True)
def changed(airflow: AirflowHome, wr: Emulator) -> tuple[DagRun, str]:
    """Start a run of `e2e_start_changed`, which is late after half a minute; return it and its execution's id."""
    execution_id = wr.create_execution("E2E", manual=True)
    return airflow.run("e2e_start_changed", {"id": execution_id}), execution_id


def ended(airflow: AirflowHome, run: DagRun) -> DagRun:
    """Wait until a run has ended, and return it."""
    try:
        run.wait(240)
    except TimeoutError as error:
        pytest.fail(f"{error}\n{airflow.explain(run)}")
    return run


def test_mapped_task_group(airflow: AirflowHome, wr: Emulator) -> None:
    """In a mapped task group, a sensor of each mode waits for the execution of its own part, and starts in a worker."""
    ids = [wr.create_execution("E2E", manual=True) for _ in range(2)]
    run = airflow.run("e2e_start_group", {"ids": ids})
    for execution_id in ids:
        wr.wait_for_stream(execution_id, count=2, timeout=120)  # those of the two deferrable sensors
    deferred = [task for task in run.tasks().values() if task.state == "deferred"]
    until(lambda: not airflow.is_busy_with(*deferred), "the workers to be free", 60)
    for number, execution_id in enumerate(ids):
        wr.complete(execution_id, {"n": number})
    assert ended(airflow, run).state == "success", airflow.explain(run)
    for index in range(2):
        for mode in ("poke", "reschedule", "deferrable", "triggerer"):
            messages = run.messages(f"each.{mode}", index)
            assert run.task(f"each.{mode}", index).state == "success", messages
            assert run.xcom(f"each.{mode}", map_index=index) == {"n": index}
            reasons = [line for line in messages if "A worker starts the task: it is in a mapped task group" in line]
            assert len(reasons) == (mode in ("deferrable", "triggerer")), messages


def test_changes_after_init(airflow: AirflowHome, wr: Emulator, changed: tuple[DagRun, str]) -> None:
    """A connection that a subclass sets counts, and so does what a cluster policy sets; no id is refused by name."""
    run, execution_id = changed
    run.wait_for("capped", {"failed"}, 120)
    wait_until_deferred(airflow, run, "hooked")
    wr.complete(execution_id, {"n": 1})
    ended(airflow, run)
    wait_for_log(run, "capped", "had not ended at the deadline")
    for task_id in ("configured", "hooked"):
        assert run.task(task_id).state == "success", run.messages(task_id)
        assert run.xcom(task_id) == {"n": 1}
        assert run.links(task_id) == {}  # without the option `dashboard_links`
    wait_for_log(run, "hooked", "A worker starts the task: it has an on_execute_callback")
    assert run.task("without_id").state == "failed"
    wait_for_log(run, "without_id", "rendered from '{{ none }}'")


def test_macro_and_composite(airflow: AirflowHome, wr: Emulator) -> None:
    """A sensor whose id needs a macro of its DAG starts in a worker; an operator in the user's own one waits there."""
    wr.script("E2E", output={"n": 2}, after=1)
    execution_id = wr.create_execution("E2E", manual=True)
    run = airflow.run("e2e_start_macro", {"id": execution_id})
    wr.wait_for_stream(execution_id, timeout=120)
    wait_until_deferred(airflow, run, "wait")
    wr.complete(execution_id, {"n": 1})
    assert ended(airflow, run).state == "success", airflow.explain(run)
    wait_for_log(run, "wait", "the triggerer does not know the DAG's user_defined_macros")
    assert [run.xcom(task_id) for task_id in ("wait", "composite")] == [{"n": 1}, {"n": 2}]


def test_long_wait(airflow: AirflowHome, wr: Emulator) -> None:
    """While nothing changes, the log says from time to time how old the execution is, and that the stream is alive."""
    wr.stream_options(ping_interval=0.5)
    wr.script("PATIENT", manual=True)
    run = airflow.run("e2e_start_long")
    expected = "still CREATED, 0 min after it was created; the stream is alive"
    try:
        until(lambda: run.log("patient").count(expected) > 1, "two lines that the wait goes on", 120)
    except TimeoutError as error:
        pytest.fail(f"{error}\n{airflow.explain(run)}")
    (identity,) = (record["id"] for record in wr.executions if record["module"] == "PATIENT")
    wr.complete(identity, {"n": 1})
    ended(airflow, run)
    assert run.xcom("patient") == {"n": 1}


def test_with_a_listener(airflow: AirflowHome, wr: Emulator, literal: str) -> None:
    """If a listener is installed, a worker ends the task and Airflow calls the listener."""
    conf = {form: wr.create_execution("E2E", manual=True) for form in ("plain", "keyed")}
    run = airflow.run("e2e_both_completed", conf)
    end_executions(airflow, wr, [run], dict.fromkeys((literal, *conf.values()), "completed"))
    ended(airflow, run)
    for form in FORMS:
        assert run.task(form).state == "success", run.messages(form)
        assert run.xcom(f"show_{form}") == ["dict", OUTPUT]
        assert len([line for line in run.messages(form) if "a listener is installed" in line]) == 1
        until((airflow.home / "listened" / f"e2e_both_completed.{form}").exists, "the listener to be called", 60)
