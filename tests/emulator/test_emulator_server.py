"""The server: starting, stopping, outages, the command line, the fixture."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator

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


def test_a_reset_ends_an_outage(wr, client):
    wr.pause()
    wr.reset()
    assert client.submit()["status"] == "CREATED"


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
