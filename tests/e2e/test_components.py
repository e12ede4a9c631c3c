"""End-to-end tests of the component operator, on a real Airflow against the emulator."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.airflow_settings import MAJOR
from dev.harness.polling import until
from dev.harness.statsd import Metric, StatsdServer
from tests.e2e import ERROR, OUTPUT
from tests.e2e.runs import OperatorRuns, module_of, wait_for_log
from tests.versions import needs_trigger_kill

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module", autouse=True)
def id_while_deferred(operator_runs: OperatorRuns, wr: Emulator) -> str:
    """End the executions of the deferred tasks; return the XCom `execution_id` that one task had before that."""
    identity = operator_runs.wait_until_deferred("deferred")
    id_while_deferred: str = operator_runs.runs["deferred"].xcom("execute", "execution_id")
    wr.complete(identity, OUTPUT)
    wr.fail(operator_runs.wait_until_deferred("failed"), ERROR)
    return id_while_deferred


def test_id_is_stored_while_the_task_waits(id_while_deferred: str, operator_runs: OperatorRuns) -> None:
    """The XCom `execution_id` is available before the execution has ended."""
    assert id_while_deferred == operator_runs.execution_id("deferred")


def test_long_execution_takes_four_calls(operator_runs: OperatorRuns) -> None:
    """A deferred operator sends one submission, opens one stream, and reads the record twice."""
    operator_runs.ended("deferred")
    assert sorted(operator_runs.calls("deferred")) == ["record", "record", "stream", "submit"]


def test_metrics(operator_runs: OperatorRuns, statsd: StatsdServer) -> None:
    """Workers count each submission and each end once, and both workers and the triggerer report how long they wait."""
    expected: dict[Metric, float] = {}
    for name, status in {"deferred": "completed", "in the worker": "completed", "failed": "failed"}.items():
        operator_runs.ended(name)
        tags = ("connection=whiterabbit_default", "kind=execution", f"module={module_of(name)}")
        expected |= {Metric(f"whiterabbit.{counter}", tags): 1 for counter in ("submitted", f"ended.{status}")}
    operator_runs.ended("failed in the worker")
    in_worker = 2
    waits = statsd.timers[Metric("whiterabbit.waited.seconds", tags[:2])]
    until(lambda: len(waits) >= in_worker + 2, "the times of the deferred tasks", 60)
    until(lambda: expected.items() <= statsd.counters.items(), f"{expected} among the counters", 60)


@pytest.mark.parametrize("name", ["deferred", "in the worker", "inline"])
def test_output_reaches_the_next_task(operator_runs: OperatorRuns, name: str) -> None:
    """With each way to wait, the next task gets the output as an object, and the id is a second XCom."""
    run = operator_runs.ended(name)
    assert run.state == "success", operator_runs.airflow.explain(run)
    assert run.xcom("execute") == OUTPUT
    assert run.xcom("describe") == ["dict", repr(OUTPUT)]
    assert run.xcom("execute", "execution_id") == operator_runs.execution_id(name)


def test_input_is_rendered_and_keeps_its_types(wr: Emulator) -> None:
    """Templates in nested values of the input are rendered, and values that are not strings keep their types."""
    (entry,) = [entry for entry in wr.requests(kind="submit") if entry.json["module"] == module_of("deferred")]
    assert entry.json["input"] == {"of": {"dag": "e2e_component_deferrable"}, "list": [1, 2.5, None, True]}


def test_params_and_files_are_rendered(wr: Emulator) -> None:
    """DAG params give numbers, and a file beside the DAG gives the config."""
    (entry,) = [entry for entry in wr.requests(kind="submit") if entry.json["module"] == module_of("inline")]
    assert (entry.json["attempts"], entry.json["waitForMs"]) == (2, 10_000)
    assert entry.json["config"] == {"dag": "e2e_component_inline", "attempts": 2, "file": "inline.json.j2"}


@pytest.mark.parametrize("name", ["inline", "failed inline"])
def test_inline_wait_takes_one_call_and_no_triggerer(operator_runs: OperatorRuns, name: str) -> None:
    """If the execution ends within `inline_wait`, the operator sends only the submission and does not defer."""
    run = operator_runs.ended(name)
    assert operator_runs.calls(name) == ["submit"]
    assert not any("DEFERRED" in message for message in run.messages("execute"))


def test_without_waiting_the_id_is_returned(operator_runs: OperatorRuns) -> None:
    """With `wait_for_completion=False` the task returns the id while the execution is still running."""
    run = operator_runs.ended("submitted")
    assert run.xcom("execute") == run.xcom("execute", "execution_id") == operator_runs.execution_id("submitted")
    assert operator_runs.calls("submitted") == ["submit"]


@pytest.mark.parametrize("name", ["failed", "failed in the worker", "failed inline"])
def test_failed_execution_fails_without_retry(operator_runs: OperatorRuns, name: str) -> None:
    """A FAILED execution fails the task without a retry, and the log holds White Rabbit's error."""
    run = operator_runs.ended(name)
    task = run.task("execute")
    assert (task.state, task.try_number) == ("failed", 1), run.messages("execute")
    wait_for_log(run, "execute", f"{module_of(name)}) FAILED", ERROR["message"])
    assert operator_runs.calls(name).count("submit") == 1


def test_timeout_fails_and_the_log_says_that_the_execution_continues(operator_runs: OperatorRuns) -> None:
    """The operator's own timeout fails the task with the operator's own message."""
    run = operator_runs.ended("late")
    assert run.task("execute").state == "failed", run.messages("execute")
    expected = ("had not ended at the deadline", "It may still be running at White Rabbit; it was not cancelled")
    wait_for_log(run, "execute", *expected)


@pytest.mark.parametrize("name", ["deferred", "in the worker", "inline", "failed", "failed in the worker"])
def test_ended_execution_is_not_said_to_run(operator_runs: OperatorRuns, name: str) -> None:
    """No process of a task says that its execution may still be running, once the execution has ended."""
    assert "may still be running" not in operator_runs.ended(name).log("execute")


def test_texts_in_a_native_dag(airflow: AirflowHome, wr: Emulator) -> None:
    """With `render_template_as_native_obj` a text that became a number is refused; one in quotes is sent as a text."""
    wr.script("NATIVE", output=OUTPUT)
    run = airflow.run("e2e_native")
    run.wait(180)
    assert run.task("text").state == "success", run.messages("text")
    number = run.task("number")
    assert (number.state, number.try_number) == ("failed", 1), run.messages("number")
    wait_for_log(run, "number", "input.amount: ", "render_template_as_native_obj=True")
    inputs = [entry.json["input"] for entry in wr.requests(kind="submit") if entry.json["module"] == "NATIVE"]
    assert inputs == [{"amount": "100"}]


def mark_failed(run: DagRun) -> None:
    """Mark the task `execute` as failed, as a user does in the web UI."""
    body = {"new_state": "failed"} | ({"dry_run": False} if MAJOR == 2 else {})
    run.api.call("PATCH", f"{run.path}/taskInstances/execute", body)


@pytest.mark.parametrize("where", [pytest.param("deferrable", marks=needs_trigger_kill), "worker"])
def test_killed_task_logs_that_the_execution_continues(operator_runs: OperatorRuns, wr: Emulator, where: str) -> None:
    """If a user marks a waiting task as failed, its log names the execution that was not cancelled."""
    name = f"killed {where}"
    operator_runs.start_component(name, f"e2e_component_{where}", manual=True)
    run = operator_runs.runs[name]
    run.wait_for("execute", {"running", "deferred"}, 120)
    until(lambda: any(record["module"] == module_of(name) for record in wr.executions), "the submission", 60)
    identity = operator_runs.execution_id(name)
    wr.wait_for_stream(identity, timeout=120)
    mark_failed(run)
    expected = f"{identity} may still be running at White Rabbit; it was not cancelled"
    try:
        until(lambda: any(expected in message for message in run.messages("execute")), "on_kill to log", 60)
    except TimeoutError as error:
        pytest.fail(f"{error}\n" + "\n".join(run.messages("execute")))
    wr.wait_for_stream(identity, count=0, timeout=60)
    assert wr.execution(identity)["status"] == "CREATED"
    assert run.task("execute").state == "failed"
