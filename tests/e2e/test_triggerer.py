"""End-to-end tests of waits that start or end in the triggerer, and of waits that need a worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.modules import MODULES
from dev.harness.polling import until
from tests.e2e import ERROR, OUTPUT, PARSE_ONCE, ROOT
from tests.e2e.runs import wait_for_log
from tests.versions import needs_triggerer_end

pytestmark = [pytest.mark.e2e, needs_triggerer_end]

WAYS = ("start", "end", "both")
OUTCOMES = ("completed", "failed", "retried", "late", "soft")
FORMS = ("literal", "template", "argument", "keyed")
OBSTACLES = ("on_success", "on_skipped", "on_execute", "outlets", "no_xcom", "mapped_over", "hasty")
ENDS = {"END_COMPLETED": "completed", "END_FAILED": "failed"}
"""How the executions of the operators in `e2e_operator_end` end, by their modules."""


@pytest.fixture(scope="module")
def wr() -> Iterator[Emulator]:
    """Run an emulator for the tests of this module."""
    with Emulator(components=MODULES) as emulator:
        for module in ENDS:
            emulator.script(module, manual=True)
        yield emulator


class EndedRuns:
    """The runs of the DAGs in `e2e_triggerer`, by name; all of them have ended."""

    def __init__(self, airflow: AirflowHome) -> None:
        self.airflow = airflow
        self.runs: dict[str, DagRun] = {}

    def exception_in(self, dag_id: str, task_id: str, callback: str) -> str:
        """Wait until a callback has written its file, and return the exception that Airflow gave the callback as text.

        Another process may run the callback after the task's end.
        """
        file = self.airflow.home / "callbacks" / f"{dag_id}.{task_id}.{callback}"
        return until(lambda: file.exists() and file.read_text(), f"the callback {callback} of {task_id}", 60)


def end_executions(
    airflow: AirflowHome,
    wr: Emulator,
    runs: Iterable[DagRun],
    outcomes: Mapping[str, str],
    outputs: Mapping[str, Any] | None = None,
) -> None:
    """End executions as soon as the triggerer waits for all of them.

    :param outcomes: one of OUTCOMES by the execution's id; an execution with the outcome ``"late"`` never ends.
    :param outputs: outputs by the execution's id; that of others is OUTPUT.
    """
    ending = {identity: outcome for identity, outcome in outcomes.items() if outcome != "late"}
    for identity in ending:
        wr.wait_for_stream(identity, timeout=120)
    # If a process that has deferred its task exits late, Airflow counts that as a failure of the resumed task.
    tasks = [task for run in runs for task in run.tasks().values()]
    until(lambda: not airflow.is_busy_with(*tasks), "the workers to be free", 120)
    for identity, outcome in ending.items():
        if outcome == "completed":
            wr.complete(identity, (outputs or {}).get(identity, OUTPUT))
        else:
            wr.fail(identity, ERROR)
        airflow.api.health()  # a pause: if many tasks end at once, Airflow drops the last lines of logs


def submitted(wr: Emulator, module: str) -> str:
    """Wait until an execution of a module was submitted, and return its id."""

    def ids() -> list[str]:
        return [record["id"] for record in wr.executions if record["module"] == module]

    return until(ids, f"an execution of {module}", 120)[0]


@pytest.fixture(scope="module")
def ended_runs(wr: Emulator) -> Iterator[EndedRuns]:
    """Run all DAGs of `e2e_triggerer` to their end, each way and outcome at the same time."""
    literals = {f"{way}_{outcome}": wr.create_execution("E2E", manual=True) for way in WAYS for outcome in OUTCOMES}
    options = {"E2E_LITERALS": json.dumps(literals), "AIRFLOW__CORE__PARALLELISM": "6"}
    with AirflowHome([ROOT / "tests" / "e2e" / "dags"], environ=wr.environ | PARSE_ONCE | options) as airflow:
        ended_runs = EndedRuns(airflow)
        outcomes: dict[str, str] = {}
        for way in WAYS:
            for outcome in OUTCOMES:
                name = f"{way}_{outcome}"
                conf = {form: wr.create_execution("E2E", manual=True) for form in ("plain", "keyed")}
                ended_runs.runs[name] = airflow.run(f"e2e_{name}", conf)
                outcomes |= dict.fromkeys((literals[name], *conf.values()), outcome)
        first = list(ended_runs.runs.values())
        # These begin before the others end, so that both reach their timeouts at the same time.
        for name in ("operator_end", "unknown"):
            ended_runs.runs[name] = airflow.run(f"e2e_{name}")
        conf = {name: wr.create_execution("E2E", manual=True) for name in OBSTACLES}
        many = [wr.create_execution("E2E", manual=True) for _ in range(3)]
        ended_runs.runs["obstacles"] = airflow.run("e2e_obstacles", {**conf, "many": many})
        end_executions(airflow, wr, first, outcomes)
        second = [ended_runs.runs[name] for name in ("operator_end", "obstacles")]
        outcomes = dict.fromkeys((*conf.values(), *many), "completed")
        outcomes |= {conf["on_skipped"]: "failed", conf["hasty"]: "late"}
        outcomes |= {submitted(wr, module): outcome for module, outcome in ENDS.items()}
        outputs = {conf["mapped_over"]: [1, 2, 3], **{identity: {"n": number} for number, identity in enumerate(many)}}
        end_executions(airflow, wr, second, outcomes, outputs)
        for run in ended_runs.runs.values():
            try:
                run.wait(240)
            except TimeoutError as error:
                pytest.fail(f"{error}\n{airflow.explain(run)}")
        yield ended_runs


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_completed(ended_runs: EndedRuns, way: str, form: str) -> None:
    """The next task gets the output as an object; no worker ran a task that started and ended in the triggerer."""
    run = ended_runs.runs[f"{way}_completed"]
    wait = run.task(form)
    assert wait.state == "success", run.messages(form)
    assert run.xcom(form) == OUTPUT
    assert run.xcom(f"show_{form}") == ["dict", OUTPUT]
    assert (wait.pid is None) is (way == "both")
    assert run.messages(form).count("::group::Pre Execute") == (0 if way == "both" else 1)  # a worker ran
    assert f"{OUTPUT}" not in run.log(form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("outcome", ["failed", "retried"])
def test_failed(ended_runs: EndedRuns, way: str, form: str, outcome: str) -> None:
    """A FAILED execution fails the task in a worker without a retry; its callback gets White Rabbit's message."""
    run = ended_runs.runs[f"{way}_{outcome}"]
    wait = run.task(form)
    assert (wait.state, wait.try_number) == ("failed", 1), run.messages(form)
    assert wait.pid is not None
    wait_for_log(run, form, ERROR["message"])
    if outcome == "failed":
        assert ERROR["message"] in ended_runs.exception_in(f"e2e_{way}_failed", form, "failure")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_late(ended_runs: EndedRuns, way: str, form: str) -> None:
    """The timeout fails the task without a retry, although retries are left, and the log says so."""
    run = ended_runs.runs[f"{way}_late"]
    wait = run.task(form)
    assert (wait.state, wait.try_number) == ("failed", 1), run.messages(form)
    wait_for_log(run, form, "had not ended at the deadline")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_soft_failed(ended_runs: EndedRuns, way: str, form: str) -> None:
    """With `soft_fail` a FAILED execution skips the task, and the log holds White Rabbit's message."""
    run = ended_runs.runs[f"{way}_soft"]
    assert run.task(form).state == "skipped", run.messages(form)
    wait_for_log(run, form, ERROR["message"])


def test_operator_ends_in_the_triggerer(ended_runs: EndedRuns) -> None:
    """An operator with `end_from_trigger` submits in a worker and ends in the triggerer."""
    run = ended_runs.runs["operator_end"]
    assert run.task("end_completed").state == "success"
    assert run.xcom("show_end_completed") == ["dict", OUTPUT]
    wait_for_log(run, "end_completed", "The task ended in the triggerer")
    assert run.task("end_failed").state == "failed"
    wait_for_log(run, "end_failed", ERROR["message"])


def test_retry_of_an_error(ended_runs: EndedRuns) -> None:
    """An unknown execution is an error that Airflow retries, and the retry callback runs."""
    run = ended_runs.runs["unknown"]
    assert (run.task("unknown").state, run.task("unknown").try_number) == ("failed", 3)
    assert "404" in ended_runs.exception_in("e2e_unknown", "unknown", "retry")


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
def test_obstacle(ended_runs: EndedRuns, name: str, reason: str) -> None:
    """A task with a feature that the triggerer does not support ends in a worker, and one log line gives the reason."""
    run = ended_runs.runs["obstacles"]
    task = run.task(name)
    states = {"on_skipped": "skipped", "hasty": "failed"}
    assert task.state == states.get(name, "success"), run.messages(name)
    assert task.pid is not None

    def reasons() -> list[str]:
        return [line for line in run.messages(name) if reason in line and "A worker" in line]

    until(reasons, "the reason in the log", 60)
    assert len(reasons()) == 1


def test_unsupported_features_work_in_a_worker(ended_runs: EndedRuns) -> None:
    """Callbacks ran, the asset event exists, and mapped tasks have their outputs."""
    run = ended_runs.runs["obstacles"]
    for name in ("success", "skipped", "execute"):
        assert ended_runs.exception_in("e2e_obstacles", f"on_{name}", name)
    events = ended_runs.airflow.api.call("GET", "/assets/events", source_dag_id="e2e_obstacles")["asset_events"]
    assert [event["source_task_id"] for event in events] == ["outlets"]
    assert run.xcom("no_xcom") is None
    assert [run.xcom("double", map_index=index) for index in range(3)] == [2, 4, 6]
    assert [run.xcom("mapped", map_index=index) for index in range(3)] == [{"n": number} for number in range(3)]


@pytest.mark.long
def test_triggerer_killed(wr: Emulator, ended_runs: EndedRuns) -> None:
    """If a triggerer is killed during a wait and restarted, the task ends once and with its output."""
    airflow = ended_runs.airflow
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
