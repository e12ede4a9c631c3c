"""Waits that never touch a worker, and those that have to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun, until
from dev.harness.airflow_home import AirflowHome
from tests.e2e import ERROR, OUTPUT, ROOT
from tests.versions import needs_triggerer_path

pytestmark = [pytest.mark.e2e, needs_triggerer_path]

WAYS = ("start", "end", "both")
OUTCOMES = ("completed", "failed", "retried", "late", "soft")
FORMS = ("literal", "template", "argument", "keyed")
OBSTACLES = ("on_success", "on_execute", "outlets", "no_xcom", "mapped_over")

LISTENER = """
from pathlib import Path
import os
import sys
from airflow.plugins_manager import AirflowPlugin
from airflow.listeners import hookimpl

@hookimpl
def on_task_instance_success(previous_state, task_instance):
    path = Path(os.environ["AIRFLOW_HOME"]) / "heard" / f"{task_instance.dag_id}.{task_instance.task_id}"
    path.parent.mkdir(exist_ok=True)
    path.touch()

class Listening(AirflowPlugin):
    name = "listening"
    listeners = [sys.modules[__name__]]
"""


@pytest.fixture(scope="module")
def wr() -> Iterator[Emulator]:
    with Emulator() as emulator:
        emulator.script("END_COMPLETED", output=OUTPUT, after=6)
        emulator.script("END_FAILED", error=ERROR, after=6)
        yield emulator


def airflow_with(wr: Emulator, literals: dict[str, str], home: Path | None = None) -> AirflowHome:
    environ = wr.environ | {"E2E_LITERALS": json.dumps(literals), "AIRFLOW__CORE__PARALLELISM": "6"}
    return AirflowHome([ROOT / "tests" / "e2e" / "dags"], home=home, environ=environ)


class Played:
    """Runs that have ended, and the executions that they waited for."""

    def __init__(self, airflow: AirflowHome) -> None:
        self.airflow = airflow
        self.runs: dict[str, DagRun] = {}

    def noted(self, dag_id: str, task_id: str, what: str) -> bool:
        """Wait until a callback has left its mark: another process may run it, after the task's end."""
        mark = self.airflow.home / "noted" / f"{dag_id}.{task_id}.{what}"
        return until(mark.exists, f"the callback {what} of {task_id}", 30)


def end(airflow: AirflowHome, wr: Emulator, runs: Iterable[DagRun], outcomes: Mapping[str, str]) -> None:
    """End executions, given by id, when the triggerer waits for all of them; a late one never ends."""
    waited = {identity: outcome for identity, outcome in outcomes.items() if outcome != "late"}
    for identity in waited:
        wr.wait_for_stream(identity, timeout=120)
    # Airflow takes the late exit of a process that has deferred its task for a failure of the resumed one.
    tasks = [task for run in runs for task in run.tasks().values()]
    until(lambda: not airflow.is_busy_with(*tasks), "the workers to be free", 120)
    for identity, outcome in waited.items():
        if outcome == "completed":
            wr.complete(identity, OUTPUT)
        else:
            wr.fail(identity, ERROR)
        airflow.api.health()  # one after the other: in a crowd of ends Airflow drops last lines of logs


@pytest.fixture(scope="module")
def played(wr: Emulator) -> Iterator[Played]:
    literals = {f"{way}_{outcome}": wr.create_execution("E2E", manual=True) for way in WAYS for outcome in OUTCOMES}
    with airflow_with(wr, literals) as airflow:
        played = Played(airflow)
        outcomes: dict[str, str] = {}
        for way in WAYS:
            for outcome in OUTCOMES:
                name = f"{way}_{outcome}"
                conf = {form: wr.create_execution("E2E", manual=True) for form in ("plain", "keyed")}
                played.runs[name] = airflow.run(f"e2e_{name}", conf)
                outcomes |= dict.fromkeys((literals[name], *conf.values()), outcome)
        end(airflow, wr, played.runs.values(), outcomes)
        for name in ("operator_end", "unknown"):
            played.runs[name] = airflow.run(f"e2e_{name}")
        conf = {name: wr.create_execution("E2E", output=OUTPUT, after=4) for name in OBSTACLES}
        conf["mapped_over"] = wr.create_execution("E2E", output=[1, 2, 3], after=4)
        conf["on_skipped"] = wr.create_execution("E2E", error=ERROR, after=4)
        conf["hasty"] = wr.create_execution("E2E", manual=True)
        many = [wr.create_execution("E2E", output={"n": number}, after=4) for number in range(3)]
        played.runs["obstacles"] = airflow.run("e2e_obstacles", {**conf, "many": many})
        for run in played.runs.values():
            try:
                run.wait(240)
            except TimeoutError as error:
                pytest.fail(f"{error}\n{airflow.explain(run)}")
        yield played


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_completed(played: Played, way: str, form: str) -> None:
    """The output arrives downstream as the object it is; the whole way through the triggerer has no worker's pid."""
    run = played.runs[f"{way}_completed"]
    wait = run.task(form)
    assert wait.state == "success", run.messages(form)
    assert run.xcom(form) == OUTPUT
    assert run.xcom(f"show_{form}") == ["dict", OUTPUT]
    assert (wait.pid is None) is (way == "both")
    assert run.messages(form).count("::group::Pre Execute") == (0 if way == "both" else 1)  # by a worker
    assert f"{OUTPUT}" not in run.log(form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("outcome", ["failed", "retried"])
def test_failed(played: Played, way: str, form: str, outcome: str) -> None:
    """A FAILED execution fails the task with its message and without a retry, though retries are left."""
    run = played.runs[f"{way}_{outcome}"]
    wait = run.task(form)
    assert (wait.state, wait.try_number) == ("failed", 1), run.messages(form)
    assert ERROR["message"] in run.log(form)
    if outcome == "failed":
        assert played.noted(f"e2e_{way}_failed", form, "failure")
        assert (wait.pid is None) is (way == "both")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_late(played: Played, way: str, form: str) -> None:
    """The time-out fails the task and says so."""
    run = played.runs[f"{way}_late"]
    wait = run.task(form)
    assert (wait.state, wait.try_number) == ("failed", 1), run.messages(form)
    assert "did not end in time" in run.log(form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_soft_failed(played: Played, way: str, form: str) -> None:
    """soft_fail skips the task and says why."""
    run = played.runs[f"{way}_soft"]
    assert run.task(form).state == "skipped", run.messages(form)
    assert ERROR["message"] in run.log(form)


def test_operator_ends_in_the_triggerer(played: Played) -> None:
    """An operator submits in a worker, once, and ends in the triggerer."""
    run = played.runs["operator_end"]
    assert run.task("end_completed").state == "success"
    assert run.xcom("show_end_completed") == ["dict", OUTPUT]
    assert "Ended in the triggerer" in run.log("end_completed")
    assert run.task("end_failed").state == "failed"
    assert ERROR["message"] in run.log("end_failed")


def test_retry_of_an_error(played: Played) -> None:
    """What is no verdict on an execution is tried again, and the callback for that runs."""
    run = played.runs["unknown"]
    assert (run.task("unknown").state, run.task("unknown").try_number) == ("failed", 3)
    assert played.noted("e2e_unknown", "unknown", "retry")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("on_success", "on_success_callback"),
        ("on_skipped", "on_skipped_callback"),
        ("outlets", "outlets"),
        ("no_xcom", "do_xcom_push"),
        ("mapped_over", "mapped task"),
        ("on_execute", "on_execute_callback"),
        ("hasty", "execution_timeout"),
    ],
)
def test_obstacle(played: Played, name: str, reason: str) -> None:
    """What the triggerer can't honour goes through a worker, with one line that says why."""
    run = played.runs["obstacles"]
    task = run.task(name)
    states = {"on_skipped": "skipped", "hasty": "failed"}
    assert task.state == states.get(name, "success"), run.messages(name)
    assert task.pid is not None
    assert len([line for line in run.messages(name) if reason in line and "A worker" in line]) == 1


def test_nothing_is_lost(played: Played) -> None:
    """The callbacks, the asset event and the mapped outputs are there."""
    run = played.runs["obstacles"]
    for name in ("success", "skipped", "execute"):
        assert played.noted("e2e_obstacles", f"on_{name}", name)
    events = played.airflow.api.call("GET", "/assets/events", source_dag_id="e2e_obstacles")["asset_events"]
    assert [event["source_task_id"] for event in events] == ["outlets"]
    assert run.xcom("no_xcom") is None
    assert [run.xcom("double", map_index=index) for index in range(3)] == [2, 4, 6]
    assert [run.xcom("mapped", map_index=index) for index in range(3)] == [{"n": number} for number in range(3)]


def test_with_a_listener(wr: Emulator, tmp_path: Path) -> None:
    """Where a listener is installed, a worker ends the task, and the listener hears of it."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "listening.py").write_text(LISTENER)
    literals = {"both_completed": wr.create_execution("E2E", manual=True)}
    with airflow_with(wr, literals, tmp_path) as airflow:
        conf = {form: wr.create_execution("E2E", manual=True) for form in ("plain", "keyed")}
        run = airflow.run("e2e_both_completed", conf)
        end(airflow, wr, [run], dict.fromkeys((*literals.values(), *conf.values()), "completed"))
        run.wait(120)
        for form in FORMS:
            assert run.task(form).state == "success", run.messages(form)
            assert run.xcom(f"show_{form}") == ["dict", OUTPUT]
            assert len([line for line in run.messages(form) if "a listener is installed" in line]) == 1
            assert (tmp_path / "heard" / f"e2e_both_completed.{form}").exists()


def test_triggerer_killed(wr: Emulator, played: Played) -> None:
    """A triggerer that is killed in mid-wait and replaced ends the task once, with one XCom."""
    airflow = played.airflow
    conf = {form: wr.create_execution("E2E", manual=True) for form in ("plain", "keyed")}
    run = airflow.run("e2e_both_completed", conf)
    wr.wait_for_stream(conf["plain"], timeout=120)
    airflow.kill("triggerer")
    wr.wait_for_stream(conf["plain"], count=0, timeout=60)
    airflow.start("triggerer")
    wr.wait_for_stream(conf["plain"], timeout=120)
    wr.complete(conf["plain"], OUTPUT)
    wr.complete(conf["keyed"], OUTPUT)
    run.wait(120)
    assert (run.task("argument").state, run.task("argument").try_number) == ("success", 1)
    assert run.xcom("show_argument") == ["dict", OUTPUT]
