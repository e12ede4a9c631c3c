"""The sensor in a real Airflow, against the emulator."""

from __future__ import annotations

import pytest

from tests.e2e import DASHBOARD, ERROR, OUTPUT

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
def test_output_reaches_the_next_task_in_every_mode(started, mode):
    """The output is the sensor's XCom, and what comes next can use it as the object that it is."""
    run = started.ended("modes")
    output = run.xcom(mode)
    assert list(output) == ["uuid"]
    assert run.xcom(f"show_{mode}") == output["uuid"]
    assert run.state == "success"


@pytest.mark.parametrize("name", ["completed", "finished"])
def test_output_keeps_its_type(started, name):
    """An object stays an object, with everything in it."""
    run = started.ended(name)
    assert run.xcom("wait") == OUTPUT
    assert run.xcom("describe") == ["dict", repr(OUTPUT)]


@pytest.mark.parametrize("name", ["completed", "finished", "failed"])
def test_link_and_credits(started, name):
    """The task links to its execution in White Rabbit's dashboard, and tells what that has cost."""
    run = started.ended(name)
    assert run.links("wait") == {"White Rabbit": DASHBOARD + started.executions[name]}
    assert run.xcom("wait", "usage") == 1


def test_deferred_sensor_follows_one_stream(started, wr):
    """While it waits, the sensor is deferred and holds one event stream open."""
    run = started.ended("completed")
    assert any("DEFERRED" in message for message in run.messages("wait"))
    assert len(wr.requests(method="GET", path=f"*/{started.executions['completed']}/stream")) == 1


def test_finished_execution_does_not_defer(started, wr):
    """Where there is nothing to wait for, neither triggerer nor stream is used."""
    run = started.ended("finished")
    assert not any("DEFERRED" in message for message in run.messages("wait"))
    assert wr.requests(method="GET", path=f"*/{started.executions['finished']}/stream") == []


def test_status_changes_are_logged(started):
    """Whoever reads the task's log sees how the execution went on."""
    log = started.ended("completed").log("wait")
    assert "EXECUTING" in log
    assert "COMPLETED" in log


@pytest.mark.parametrize("name", ["failed", "failed in poke"])
def test_failed_execution_fails_without_retry(started, name):
    """Trying again would only find the same failure; White Rabbit's words are in the log."""
    run = started.ended(name)
    wait = run.task("wait")
    assert (wait.state, wait.try_number) == ("failed", 1), run.messages("wait")
    assert ERROR["code"] in run.log("wait")
    assert ERROR["message"] in run.log("wait")
    assert run.task("describe").state == "upstream_failed"


def test_timeout_fails_without_retry(started):
    """The sensor's own time-out ends it with Airflow's exception for that."""
    run = started.ended("late")
    wait = run.task("wait")
    assert (wait.state, wait.try_number) == ("failed", 1), run.messages("wait")
    assert "AirflowSensorTimeout" in run.log("wait")


@pytest.mark.parametrize("name", ["failed softly", "late softly"])
def test_soft_fail_skips(started, name):
    """With soft_fail a failed or late execution skips the task and what depends on it."""
    run = started.ended(name)
    assert run.task("wait").state == "skipped", run.messages("wait")
    assert run.task("describe").state == "skipped"


def test_mapped_sensors_get_their_own_outputs(started):
    """Each of the mapped sensors waits for its own execution."""
    run = started.ended("mapped")
    assert run.state == "success"
    assert [run.xcom("wait", map_index=number) for number in range(3)] == [{"n": number} for number in range(3)]
