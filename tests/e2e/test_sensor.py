"""End-to-end tests of the execution sensor, on a real Airflow against the emulator."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from tests.e2e import DASHBOARD, ERROR, OUTPUT
from tests.e2e.runs import SensorRuns

pytestmark = [pytest.mark.e2e]


@pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
def test_output_reaches_the_next_task_in_every_mode(sensor_runs: SensorRuns, mode: str) -> None:
    """In every mode the output is the sensor's XCom, and the next task gets it as an object."""
    run = sensor_runs.ended("modes")
    output = run.xcom(mode)
    assert list(output) == ["uuid"]
    assert run.xcom(f"show_{mode}") == output["uuid"]
    assert run.state == "success"


@pytest.mark.parametrize("name", ["completed", "finished"])
def test_output_keeps_its_type(sensor_runs: SensorRuns, name: str) -> None:
    """An output that is an object reaches the next task as the same object."""
    run = sensor_runs.ended(name)
    assert run.xcom("wait") == OUTPUT
    assert run.xcom("describe") == ["dict", repr(OUTPUT)]


@pytest.mark.parametrize("name", ["completed", "finished", "failed"])
def test_link_and_credits(sensor_runs: SensorRuns, name: str) -> None:
    """The task links to its execution in the dashboard, and its XCom `usage` holds the credits used."""
    run = sensor_runs.ended(name)
    assert run.links("wait") == {"White Rabbit": DASHBOARD + sensor_runs.executions[name]}
    assert run.xcom("wait", "usage") == 1


def test_deferred_sensor_follows_one_stream(sensor_runs: SensorRuns, wr: Emulator) -> None:
    """A deferrable sensor is deferred while it waits, and opens one event stream."""
    run = sensor_runs.ended("completed")
    assert any("DEFERRED" in message for message in run.messages("wait"))
    assert len(wr.requests(method="GET", path=f"*/{sensor_runs.executions['completed']}/stream")) == 1


def test_finished_execution_does_not_defer(sensor_runs: SensorRuns, wr: Emulator) -> None:
    """If the execution has already ended, the sensor neither defers nor opens a stream."""
    run = sensor_runs.ended("finished")
    assert not any("DEFERRED" in message for message in run.messages("wait"))
    assert wr.requests(method="GET", path=f"*/{sensor_runs.executions['finished']}/stream") == []


def test_status_changes_are_logged(sensor_runs: SensorRuns) -> None:
    """The task's log shows each status of the execution."""
    log = sensor_runs.ended("completed").log("wait")
    assert "EXECUTING" in log
    assert "COMPLETED" in log


@pytest.mark.parametrize("name", ["failed", "failed in poke"])
def test_failed_execution_fails_without_retry(sensor_runs: SensorRuns, name: str) -> None:
    """A FAILED execution fails the sensor without a retry, and the log holds White Rabbit's error."""
    run = sensor_runs.ended(name)
    wait = run.task("wait")
    assert (wait.state, wait.try_number) == ("failed", 1), run.messages("wait")
    assert ERROR["code"] in run.log("wait")
    assert ERROR["message"] in run.log("wait")
    assert run.task("describe").state == "upstream_failed"


def test_timeout_fails_without_retry(sensor_runs: SensorRuns) -> None:
    """The sensor's own timeout fails it with AirflowSensorTimeout and without a retry."""
    run = sensor_runs.ended("late")
    wait = run.task("wait")
    assert (wait.state, wait.try_number) == ("failed", 1), run.messages("wait")
    assert "AirflowSensorTimeout" in run.log("wait")


@pytest.mark.parametrize("name", ["failed softly", "late softly"])
def test_soft_fail_skips(sensor_runs: SensorRuns, name: str) -> None:
    """With soft_fail, a failed or late execution skips the sensor and its downstream task."""
    run = sensor_runs.ended(name)
    assert run.task("wait").state == "skipped", run.messages("wait")
    assert run.task("describe").state == "skipped"


def test_mapped_sensors_get_their_own_outputs(sensor_runs: SensorRuns) -> None:
    """Each mapped sensor returns the output of its own execution."""
    run = sensor_runs.ended("mapped")
    assert run.state == "success"
    assert [run.xcom("wait", map_index=number) for number in range(3)] == [{"n": number} for number in range(3)]
