"""The server: starting, stopping, outages, the command line, the fixture."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.airflow_api import until

ROOT = Path(__file__).parents[2]


def test_it_starts_and_stops_and_leaves_nothing(client):
    before = threading.enumerate()
    with Emulator() as emulator:
        port = int(emulator.url.rpartition(":")[2])
        execution_id = emulator.create_execution("X")
        assert requests.get(f"{emulator.url}/v1/system/components", timeout=10).status_code == 200
    assert threading.enumerate() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)
    assert emulator.execution(execution_id)["status"] in ("CREATED", "COMPLETED")
    assert len(emulator.journal) == 1
    emulator.stop_server()


def test_stopping_ends_open_streams_cleanly(client):
    emulator = Emulator(require_signature=False)
    with emulator:
        execution_id = emulator.create_execution("X", manual=True)
        url = f"{emulator.url}/v1/sdk/components/executions/{execution_id}/stream"
        stream = requests.get(url, headers={"X-Api-Key": emulator.api_key}, stream=True, timeout=10)
        emulator.wait_for_stream(execution_id)
    assert b'"CREATED"' in stream.content


def test_a_taken_port_is_an_error(wr):
    port = int(wr.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        Emulator(port=port).start_server()


def test_misuse_is_told(wr):
    with pytest.raises(RuntimeError, match="running already"):
        wr.start_server()
    with pytest.raises(RuntimeError, match="not running"):
        _ = Emulator().url
    with pytest.raises(RuntimeError, match="running emulator"):
        Emulator().reset()


def test_it_can_be_scripted_before_it_starts_and_started_again():
    emulator = Emulator(require_signature=False)
    emulator.script("X", output=5)
    for _ in range(2):
        with emulator:
            response = requests.post(
                f"{emulator.url}/v1/sdk/components",
                json={"module": "X", "input": {}, "config": {}, "waitForMs": 1000},
                headers={"X-Api-Key": emulator.api_key},
                timeout=10,
            )
            assert response.json()["output"] == 5


def test_a_restart_keeps_what_was_known():
    """On the same port: executions, runs, faults and the journal; what was due meanwhile has happened."""
    emulator = Emulator(require_signature=False)
    headers = {"X-Api-Key": emulator.api_key}

    def record(identity: str, path: str = "components") -> requests.Response:
        return requests.get(f"{emulator.url}/v1/sdk/{path}/executions/{identity}", headers=headers, timeout=10)

    with emulator:
        url = emulator.url
        emulator.script_workflow("flow", [{"module": "A", "after": 0.3, "output": 1}, {"module": "B", "after": 0.1}])
        run = emulator.create_run("flow")
        done = emulator.create_execution("X", manual=True)
        emulator.complete(done, 1)
        manual = emulator.create_execution("X", manual=True)
        late = emulator.create_execution("X", after=0.3, executing_after=0.1, output=2)
        hold = emulator.fault(effects.Hold(), kind="stream", times=None)
        assert record(done).json()["output"] == 1
    with emulator:
        assert emulator.url == url
        assert record(done).json()["output"] == 1
        assert len(emulator.journal) == 2
        emulator.complete(manual, 3)
        assert record(manual).json()["output"] == 3
        until(lambda: record(late).json()["output"] == 2, "the execution has gone on", 10, 0.02)
        until(lambda: record(run, "workflows").json()["status"] == "COMPLETED", "the run has gone on", 10, 0.02)
        assert [stage["output"] for stage in emulator.run(run)["runStages"]] == [1, {"module": "B", "input": {}}]
        emulator.release(hold)
        stream = requests.get(f"{url}/v1/sdk/components/executions/{late}/stream", headers=headers, timeout=10)
        assert b'"COMPLETED"' in stream.content


def test_ipv6():
    with Emulator("::1") as emulator:
        assert emulator.url.startswith("http://[::1]:")
        assert requests.get(f"{emulator.url}/v1/system/components", timeout=10).status_code == 200


def test_an_outage(wr, client):
    execution_id = wr.create_execution("X", manual=True)
    stream = client.stream(execution_id)
    wr.wait_for_stream(execution_id)
    wr.pause()
    with pytest.raises(requests.RequestException):
        _ = stream.content
    with pytest.raises(requests.ConnectionError, match="refused"):
        client.record(execution_id)
    wr.complete(execution_id, 1)
    wr.resume()
    wr.resume()
    assert client.record(execution_id)["output"] == 1


def test_connections_that_come_as_an_outage_begins(wr):
    """Each of them is cut: none is left that nobody answers."""
    address = wr.url.removeprefix("http://").split(":")
    for _ in range(50):
        with socket.create_connection(address, 5) as connection, suppress(ConnectionError):
            wr.pause()
            assert not connection.recv(1)
        wr.resume()


@pytest.mark.parametrize("over_http", [False, True])
def test_an_outage_that_ends_by_itself(wr, client, over_http):
    """Told over HTTP, the answer arrives before connections are refused."""
    execution_id = wr.create_execution("X", manual=True)
    stream = client.stream(execution_id)
    wr.wait_for_stream(execution_id)
    if over_http:
        client.control("pause", {"seconds": 2})
    else:
        wr.pause(2)
    with pytest.raises(requests.RequestException):
        _ = stream.content
    with pytest.raises(requests.ConnectionError, match="refused"):
        client.record(execution_id)
    until(lambda: answers(wr.url), "the outage is over", 10, 0.02)
    assert client.record(execution_id)["status"] == "CREATED"


def test_an_outage_that_is_ended_early_or_for_good(wr, client):
    """What was to end an outage by itself ends no later one, and keeps nobody from stopping."""
    wr.pause(0.1)
    wr.pause()
    time.sleep(0.2)
    assert not answers(wr.url)
    wr.resume()
    assert answers(wr.url)
    with Emulator() as emulator:
        emulator.pause(60)


def answers(url: str) -> bool:
    """Whether someone accepts connections there."""
    try:
        return requests.get(f"{url}/v1/system/components", timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("over_http", [False, True])
def test_connections_that_are_cut(wr, client, over_http):
    """So many of the next ones, and no request of them arrives."""
    if over_http:
        client.control("connections/cut", {"count": 2})
    else:
        wr.cut_connections(2)
    assert [answers(wr.url) for _ in range(3)] == [False, False, True]
    assert len(wr.journal) == 1
    wr.cut_connections(1)
    wr.reset()
    assert answers(wr.url)
    assert requests.post(f"{wr.url}/_emulator/connections/cut", json={"count": -1}, timeout=10).status_code == 422
    assert requests.post(f"{wr.url}/_emulator/pause", json={"seconds": -1}, timeout=10).status_code == 422


def test_a_reset_ends_an_outage(wr, client):
    wr.pause()
    wr.reset()
    assert client.submit()["status"] == "CREATED"


@pytest.mark.parametrize("offset", [-100, 0, 250])
def test_the_date_is_that_of_the_emulators_clock(wr, client, offset):
    """``Date`` tells the truth about a clock that is off, also in a refusal and in a fault's answer."""
    wr.clock_offset = offset
    wr.fault(effects.Answer(503), skip=2)
    now = datetime.now(UTC) + timedelta(seconds=offset)
    answers = [client.get("/v1/sdk/components/executions/none") for _ in range(2)]
    answers.append(requests.get(f"{wr.url}/v1/system/components", timeout=10))
    assert [answer.status_code for answer in answers] == [404 if offset == 0 else 401] * 2 + [503]
    for answer in answers:
        assert abs(parsedate_to_datetime(answer.headers["Date"]) - now) < timedelta(seconds=20)


def test_the_connection(wr):
    assert wr.connection == {
        "conn_type": "whiterabbit",
        "host": wr.url,
        "password": wr.api_secret,
        "extra": {"api_key": wr.api_key},
    }
    assert json.loads(wr.environ["AIRFLOW_CONN_WHITERABBIT_DEFAULT"]) == wr.connection


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_as_a_process(number):
    command = [
        sys.executable,
        "-m",
        "airflow_provider_whiterabbit.emulator",
        "--allow-unsigned",
        "--api-key",
        "ws_demo",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        first = process.stdout.readline()
        export = process.stdout.readline()
        shell = subprocess.run(
            ["sh", "-c", export + 'printf %s "$AIRFLOW_CONN_WHITERABBIT_DEFAULT"'], capture_output=True, check=True
        )
        connection = json.loads(shell.stdout)
        assert first.strip().endswith(connection["host"])
        url = f"{connection['host']}/v1/sdk/components/executions/none"
        assert requests.get(url, headers={"X-Api-Key": "ws_demo"}, timeout=10).status_code == 404
        process.send_signal(number)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_fixture_as_a_plugin(tmp_path):
    """One server for the session, which each test finds as new."""
    (tmp_path / "test_mine.py").write_text(
        'pytest_plugins = ["airflow_provider_whiterabbit.emulator.pytest"]\n'
        "seen = []\n"
        "def test_first(whiterabbit_emulator):\n"
        "    whiterabbit_emulator.create_execution('X')\n"
        "    seen.append(whiterabbit_emulator.url)\n"
        "def test_second(whiterabbit_emulator):\n"
        "    assert whiterabbit_emulator.executions == []\n"
        "    assert seen == [whiterabbit_emulator.url]\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout


@pytest.mark.parametrize("module", ["quickjs", "starlette", "uvicorn"])
def test_a_missing_extra_is_named(module):
    script = f"import sys; sys.modules[{module!r}] = None; import airflow_provider_whiterabbit.emulator"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "pip install 'airflow-provider-whiterabbit[emulator]'" in result.stderr
