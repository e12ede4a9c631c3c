"""`Emulator`: starting, stopping, restarting, and its Airflow connection."""

from __future__ import annotations

import json
import socket
import threading

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.polling import until
from tests.emulator.api_client import CATALOGUE, COMPONENTS, EXECUTIONS, RUNS


def test_start_and_stop(client):
    """After the ``with`` block, the thread and the listening socket are gone, and the state can still be read."""
    before = threading.enumerate()
    with Emulator() as emulator:
        port = int(emulator.url.rpartition(":")[2])
        execution_id = emulator.create_execution("X")
        assert requests.get(emulator.url + CATALOGUE, timeout=60).status_code == 200
    assert threading.enumerate() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=60)
    assert emulator.execution(execution_id)["status"] in ("CREATED", "COMPLETED")
    assert len(emulator.journal) == 1
    emulator.stop_server()


def test_stopping_ends_open_streams_cleanly(client):
    """A stream that is open when the server stops ends cleanly."""
    emulator = Emulator(require_signature=False)
    with emulator:
        execution_id = emulator.create_execution("X", manual=True)
        url = f"{emulator.url}{EXECUTIONS}/{execution_id}/stream"
        stream = requests.get(url, headers={"X-Api-Key": emulator.api_key}, stream=True, timeout=60)
        emulator.wait_for_stream(execution_id)
    assert b'"CREATED"' in stream.content


def test_a_port_in_use(wr):
    """Starting on a port that another server uses raises `OSError`."""
    port = int(wr.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        Emulator(port=port).start_server()


def test_misuse_raises(wr):
    """Starting twice, and asking a stopped emulator for its URL or a reset, raise `RuntimeError`."""
    with pytest.raises(RuntimeError, match="running already"):
        wr.start_server()
    with pytest.raises(RuntimeError, match="not running"):
        _ = Emulator().url
    with pytest.raises(RuntimeError, match="running emulator"):
        Emulator().reset()


def test_a_script_before_the_start():
    """A script may be set before the start, and is kept when the emulator stops and starts again."""
    emulator = Emulator(require_signature=False, components=["X"])
    emulator.script("X", output=5)
    for _ in range(2):
        with emulator:
            response = requests.post(
                emulator.url + COMPONENTS,
                json={"module": "X", "input": {}, "config": {}, "waitForMs": 1000},
                headers={"X-Api-Key": emulator.api_key},
                timeout=60,
            )
            assert response.json()["output"] == 5


def test_a_restart_keeps_the_state():
    """A restart keeps the port, executions, runs, faults and the journal, and does the overdue steps of scripts."""
    emulator = Emulator(require_signature=False)
    headers = {"X-Api-Key": emulator.api_key}

    def record(identity: str, path: str = EXECUTIONS) -> requests.Response:
        return requests.get(f"{emulator.url}{path}/{identity}", headers=headers, timeout=60)

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
        until(lambda: record(late).json()["output"] == 2, "the execution to complete", 60, 0.02)
        until(lambda: record(run, RUNS).json()["status"] == "COMPLETED", "the run to complete", 60, 0.02)
        assert [stage["output"] for stage in emulator.run(run)["runStages"]] == [1, {"module": "B", "input": {}}]
        emulator.release(hold)
        stream = requests.get(f"{url}{EXECUTIONS}/{late}/stream", headers=headers, timeout=60)
        assert b'"COMPLETED"' in stream.content


def test_ipv6():
    """The emulator can listen on an IPv6 address."""
    with Emulator("::1") as emulator:
        assert emulator.url.startswith("http://[::1]:")
        assert requests.get(emulator.url + CATALOGUE, timeout=60).status_code == 200


def test_the_connection(wr):
    """`connection` and `environ` define the Airflow connection to the emulator."""
    assert wr.connection == {
        "conn_type": "whiterabbit",
        "host": wr.url,
        "password": wr.api_secret,
        "extra": {"api_key": wr.api_key},
    }
    assert json.loads(wr.environ["AIRFLOW_CONN_WHITERABBIT_DEFAULT"]) == wr.connection
