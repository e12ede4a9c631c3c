"""The endpoints of executions: submitting, waiting for the end, and unknown ids."""

from __future__ import annotations

import time

import pytest

from airflow_provider_whiterabbit.emulator.world.components import BUILT_IN
from tests.emulator.api_client import COMPONENTS, UNKNOWN_EXECUTION


@pytest.mark.parametrize("suffix", ["", "/stream"])
def test_an_unknown_execution_answers_404(client, suffix):
    """The record and the stream of an unknown execution answer 404."""
    response = client.get(UNKNOWN_EXECUTION + suffix)
    assert response.status_code == 404
    assert response.json()["errors"][0]["code"] == "NOT_FOUND"


def test_a_workflow_component_cannot_be_submitted(wr, client):
    """A component without the mode COMPONENT in the catalogue answers 422."""
    wr.add_component({**BUILT_IN[0], "module": "BRANCH", "executionModes": ["WORKFLOW"]})
    assert client.post(COMPONENTS, '{"module":"BRANCH","input":{},"config":{}}').status_code == 422


def test_wait_for_ms_waits_for_the_end(wr, client):
    """With ``waitForMs``, the answer to a submission shows the end of the execution."""
    wr.script("SLOW", after=0.1, output=[1])
    assert client.submit("SLOW", waitForMs=15_000)["output"] == [1]


def test_wait_for_ms_zero_does_not_wait(client):
    """With ``waitForMs`` 0, and without it, the answer is CREATED, although the execution ends at once."""
    for fields in ({}, {"waitForMs": 0}):
        record = client.submit(**fields)
        assert (record["status"], record["completed"], record["output"]) == ("CREATED", False, None)
        assert client.record(record["id"])["status"] == "COMPLETED"


def test_wait_for_ms_has_a_limit(wr, client):
    """After ``waitForMs``, the answer shows the status of the unfinished execution."""
    wr.script("NEVER", manual=True, executing_after=0)
    before = time.monotonic()
    assert client.submit("NEVER", waitForMs=50)["status"] == "EXECUTING"
    assert time.monotonic() - before >= 0.05
