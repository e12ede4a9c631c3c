"""Executions: their records, and the changes of their status."""

from __future__ import annotations

from uuid import UUID

import pytest
import requests

from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.emulator import ApiError
from tests.emulator.api_client import CATALOGUE, UNKNOWN_EXECUTION, statuses


def test_an_execution_completes_at_once(client):
    """An execution is CREATED in the answer to its submission, and COMPLETED in the next read of its record."""
    created = client.submit("ECHO", input={"a": 1})
    assert (created["status"], created["completed"], created["totalUsage"]) == ("CREATED", False, 0)
    UUID(created["id"])
    record = client.record(created["id"])
    assert (record["status"], record["completed"], record["totalUsage"]) == ("COMPLETED", True, 1)
    assert record["output"] == {"module": "ECHO", "input": {"a": 1}}
    assert record["error"] is None
    assert record["createdAt"] <= record["updatedAt"]
    assert record["callback"] == {
        "url": None,
        "signed": False,
        "signatureAlgorithm": None,
        "headerNames": [],
        "lastAttemptAt": None,
        "deliveredAt": None,
        "attemptCount": 0,
        "lastError": None,
    }


def test_the_client_parses_the_record(client):
    """The package's client understands the emulator's record."""
    execution = Execution.from_dict(client.record(client.submit()["id"]))
    assert execution.completed
    assert execution.created_at is not None
    assert execution.callback is not None


def test_random_uuid_returns_a_uuid(client):
    """The module RANDOM_UUID returns a random UUID."""
    record = client.submit("RANDOM_UUID", waitForMs=10_000)
    assert UUID(record["output"]["uuid"]).version == 4


def test_a_test_changes_the_status(wr, client):
    """A manual execution changes its status only when the test changes it, and not after its end."""
    wr.script("MANUAL", manual=True)
    execution_id = client.submit("MANUAL")["id"]
    assert client.record(execution_id)["status"] == "CREATED"
    wr.start(execution_id)
    wr.start(execution_id)
    assert client.record(execution_id)["status"] == "EXECUTING"
    wr.complete(execution_id, {"x": None}, usage=7)
    record = client.record(execution_id)
    assert (record["status"], record["output"], record["totalUsage"]) == ("COMPLETED", {"x": None}, 7)
    for action in (wr.start, wr.complete, lambda ended_id: wr.fail(ended_id, "no")):
        with pytest.raises(ValueError, match="COMPLETED already"):
            action(execution_id)


def test_an_execution_without_a_request(wr, client):
    """`create_execution` creates an execution with its own script or the module's script, and sends no request."""
    wr.script("SWAP", output="scripted")
    assert client.record(wr.create_execution("SWAP"))["output"] == "scripted"
    own = wr.create_execution(module="SWAP", manual=True, output="own")
    wr.complete(own)
    assert client.record(own)["output"] == "own"
    failed = wr.create_execution("SWAP", manual=True)
    wr.fail(failed, "bad")
    assert client.record(failed)["error"] == "bad"
    assert wr.requests(method="POST") == []


def test_unknown_ids_raise(wr):
    """An id that does not exist raises `ApiError`."""
    for method in (wr.execution, wr.start, wr.run, wr.streams):
        with pytest.raises(ApiError, match="There is no"):
            method("none")


def test_reset_removes_everything(wr, client):
    """A reset removes executions, scripts, components and the journal, and restores the settings."""
    wr.script("X", error="no")
    wr.settings.require_signature = False
    wr.clock_offset = 100
    wr.add_component({**requests.get(wr.url + CATALOGUE, timeout=60).json()[0], "module": "MINE"})
    execution_id = wr.create_execution("X", after=0.01)
    wr.reset()
    assert wr.journal == wr.executions == []
    assert wr.clock_offset == 0
    assert wr.settings.require_signature
    assert client.get(UNKNOWN_EXECUTION.replace("none", execution_id)).status_code == 404
    assert client.submit("RANDOM_UUID", waitForMs=1000)["status"] == "COMPLETED"
    assert "MINE" not in requests.get(wr.url + CATALOGUE, timeout=60).text


def test_the_stream_shows_every_status(wr, client):
    """The stream of an execution that starts and ends later shows three statuses, and the record shows the usage."""
    wr.script("SLOW", after=1.2, executing_after=1, output=1, usage=2.5)
    created = client.submit("SLOW")
    assert statuses(client.stream(created["id"]).content) == ["CREATED", "EXECUTING", "COMPLETED"]
    assert client.record(created["id"])["totalUsage"] == 2.5
