"""End-to-end tests of the execution sensor, on a real Airflow against the emulator."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from tests.e2e import DASHBOARD, ERROR, OUTPUT
from tests.e2e.runs import SensorRuns, wait_for_log
from tests.versions import HAS_SDK

pytestmark = [pytest.mark.e2e]


@pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
def test_output_reaches_the_next_task_in_every_mode(sensor_runs: SensorRuns, mode: str) -> None:
    """In every mode the output is the sensor's XCom, and the next task gets it as an object."""
    run = sensor_runs.ended("modes")
    assert run.state == "success", sensor_runs.airflow.explain(run)
    output = run.xcom(mode)
    assert list(output) == ["uuid"]
    assert run.xcom(f"show_{mode}") == output["uuid"]


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


def test_links_of_a_subclass_without_xcoms(sensor_runs: SensorRuns) -> None:
    """With `do_xcom_push=False` the link is there too, and so is the link that a subclass adds."""
    run = sensor_runs.ended("linked")
    wiki = {"Wiki": "https://wiki.example/"} if HAS_SDK else {}
    assert run.links("wait") == {"White Rabbit": DASHBOARD + sensor_runs.executions["linked"], **wiki}
    assert run.task("wait").state == "success", run.messages("wait")
    assert run.xcom("wait") is None


def test_unknown_field_of_the_connection(sensor_runs: SensorRuns) -> None:
    """A task's log warns of a field of its connection that the provider does not know, and suggests another name."""
    text = "mistyped has an extra field 'request_timout', which this provider does not know; did you mean"
    wait_for_log(sensor_runs.ended("linked"), "wait", text)


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


def test_status_changes_are_logged(sensor_runs: SensorRuns, wr: Emulator) -> None:
    """The task's log shows each status of the execution, and how long after its creation the status changed."""
    run = sensor_runs.ended("completed")
    record = wr.execution(sensor_runs.executions["completed"])
    created, updated = (datetime.fromisoformat(record[name]) for name in ("createdAt", "updatedAt"))
    text = f"COMPLETED, {(updated - created).total_seconds():.1f} s after it was created"
    wait_for_log(run, "wait", "EXECUTING, ", text)


@pytest.mark.parametrize("name", ["completed", "finished", "failed", "failed in poke"])
def test_ended_execution_is_not_said_to_run(sensor_runs: SensorRuns, name: str) -> None:
    """No process of a task says that its execution may still be running, once the execution has ended."""
    assert "may still be running" not in sensor_runs.ended(name).log("wait")


@pytest.mark.parametrize("name", ["failed", "failed in poke"])
def test_failed_execution_fails_without_retry(sensor_runs: SensorRuns, name: str) -> None:
    """A FAILED execution fails the sensor without a retry, and the log holds White Rabbit's error."""
    run = sensor_runs.ended(name)
    wait = run.task("wait")
    assert (wait.state, wait.try_number) == ("failed", 1), run.messages("wait")
    wait_for_log(run, "wait", ERROR["code"], ERROR["message"])
    assert run.task("describe").state == "upstream_failed"


def test_timeout_fails_without_retry(sensor_runs: SensorRuns) -> None:
    """The sensor's own timeout fails it with AirflowSensorTimeout and without a retry."""
    run = sensor_runs.ended("late")
    wait = run.task("wait")
    assert (wait.state, wait.try_number) == ("failed", 1), run.messages("wait")
    wait_for_log(run, "wait", "AirflowSensorTimeout")


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


def test_connection_command(airflow: AirflowHome, wr: Emulator) -> None:
    """`airflow connections test` names the connection and its host, and says what is wrong."""
    connection = wr.connection
    connection["extra"] |= {"api_key": "ws_wrong"}
    environ = {"AIRFLOW_CONN_PAYMENTS": json.dumps(connection), "AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    environ["COLUMNS"] = "1000"  # else Airflow breaks the lines of the message
    command = [str(Path(sys.executable).parent / "airflow"), "connections", "test", "payments"]
    done = subprocess.run(command, env=airflow.environ | environ, capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    assert "Connection failed!" in printed, printed  # Airflow 2 exits with 0
    assert f"Connection payments, host {wr.url.removeprefix('http://')}: White Rabbit refused the API key" in printed
    assert "ws_wrong" not in printed
