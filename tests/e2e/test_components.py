"""The component operator in a real Airflow, against the emulator."""

from __future__ import annotations

import pytest

from dev.harness.airflow_api import until
from dev.harness.airflow_settings import MAJOR
from tests.e2e import ERROR, OUTPUT
from tests.e2e.operated import module_of
from tests.versions import needs_trigger_kill

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module", autouse=True)
def meanwhile(operated, wr):
    """Let those that are deferred end as soon as it was seen how they wait; return the id that others saw then."""
    identity = operated.wait_until_deferred("deferred")
    seen = operated.runs["deferred"].xcom("execute", "execution_id")
    wr.complete(identity, OUTPUT)
    wr.fail(operated.wait_until_deferred("failed"), ERROR)
    return seen


def test_id_is_there_while_it_waits(meanwhile, operated):
    """Others can use it before the execution has ended."""
    assert meanwhile == operated.execution_id("deferred")


def test_long_execution_takes_four_calls(operated):
    """One submission, one stream, and a look at the record before and after it."""
    operated.ended("deferred")
    assert sorted(operated.calls("deferred")) == ["record", "record", "stream", "submit"]


@pytest.mark.parametrize("name", ["deferred", "in the worker", "inline"])
def test_output_reaches_the_next_task(operated, name):
    """However it was waited for, an object stays an object, and the id is beside it."""
    run = operated.ended(name)
    assert run.state == "success", operated.airflow.explain(run)
    assert run.xcom("execute") == OUTPUT
    assert run.xcom("describe") == ["dict", repr(OUTPUT)]
    assert run.xcom("execute", "execution_id") == operated.execution_id(name)


def test_input_is_rendered_and_keeps_its_types(wr):
    """Templates in nested values are filled in, and what is no text stays what it is."""
    (entry,) = [entry for entry in wr.requests(kind="submit") if entry.json["module"] == module_of("deferred")]
    assert entry.json["input"] == {"of": {"dag": "e2e_component_deferrable"}, "list": [1, 2.5, None, True]}


@pytest.mark.parametrize("name", ["inline", "failed inline"])
def test_inline_wait_takes_one_call_and_no_triggerer(operated, name):
    """What ends in time is in the answer to the submission."""
    run = operated.ended(name)
    assert operated.calls(name) == ["submit"]
    assert not any("DEFERRED" in message for message in run.messages("execute"))


def test_without_waiting_the_id_is_returned(operated):
    """The task ends although the execution goes on."""
    run = operated.ended("submitted")
    assert run.xcom("execute") == run.xcom("execute", "execution_id") == operated.execution_id("submitted")
    assert operated.calls("submitted") == ["submit"]


@pytest.mark.parametrize("name", ["failed", "failed in the worker", "failed inline"])
def test_failed_execution_fails_without_retry(operated, name):
    """Trying again would only find the same failure; White Rabbit's words are in the log."""
    run = operated.ended(name)
    task = run.task("execute")
    assert (task.state, task.try_number) == ("failed", 1), run.messages("execute")
    assert f"{module_of(name)}) FAILED" in run.log("execute")
    assert ERROR["message"] in run.log("execute")
    assert operated.calls(name).count("submit") == 1


def test_timeout_fails_and_says_that_the_execution_goes_on(operated):
    """The operator's own time-out ends the task with its own message."""
    run = operated.ended("late")
    assert run.task("execute").state == "failed", run.messages("execute")
    assert "did not end in time" in run.log("execute")
    assert "It goes on at White Rabbit" in run.log("execute")


def fail(run):
    """Mark the task as failed, as a user does."""
    body = {"new_state": "failed"} | ({"dry_run": False} if MAJOR == 2 else {})
    run.api.call("PATCH", f"{run.path}/taskInstances/execute", body)


@pytest.mark.parametrize("where", [pytest.param("deferrable", marks=needs_trigger_kill), "worker"])
def test_killed_task_says_that_the_execution_goes_on(operated, wr, where):
    """A user who marks it as failed reads, with the id, what was not ended by that."""
    name = f"killed {where}"
    operated.component(name, f"e2e_component_{where}", manual=True)
    run = operated.runs[name]
    run.wait_for("execute", {"running", "deferred"}, 120)
    until(lambda: any(record["module"] == module_of(name) for record in wr.executions), "the submission", 60)
    identity = operated.execution_id(name)
    wr.wait_for_stream(identity, timeout=120)
    fail(run)
    said = f"{identity} goes on at White Rabbit: it can't be cancelled from here"
    try:
        until(lambda: any(said in message for message in run.messages("execute")), "on_kill to say so", 60)
    except TimeoutError as error:
        pytest.fail(f"{error}\n" + "\n".join(run.messages("execute")))
    wr.wait_for_stream(identity, count=0, timeout=60)
    assert wr.execution(identity)["status"] == "CREATED"
    assert run.task("execute").state == "failed"
