"""The control endpoints under ``/_emulator``."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator
from tests.emulator.api_client import CATALOGUE, EXECUTIONS, WORKFLOWS


def post(wr: Emulator, path: str, body: object) -> requests.Response:
    """Send a POST request to a control endpoint and return the response."""
    return requests.post(f"{wr.url}/_emulator/{path}", json=body, timeout=60)


def test_scripts(client):
    """``scripts`` sets one script for all executions, or a script for each execution in turn."""
    client.control("scripts", {"module": "A", "output": 1})
    client.control("scripts", {"module": "B", "steps": [{"error": "no"}, {"output": 2}]})
    assert client.submit("A", waitForMs=1000)["output"] == 1
    records = [client.submit("B", waitForMs=1000) for _ in range(2)]
    assert (records[0]["error"], records[1]["output"]) == ("no", 2)


@pytest.mark.parametrize(("times", "outputs"), [({}, 1), ({"times": 2}, 2), ({"times": None}, 3)])
def test_scripts_over_http_are_for_one_execution(client, times, outputs):
    """A script over HTTP is for one execution; ``times`` gives another number, and null all further executions."""
    for body in ({"output": 1, **times}, {"steps": [{"output": 1, **times}]}):
        client.control("scripts", {"module": "A", **body})
        records = [client.submit("A", waitForMs=1000) for _ in range(3)]
        assert [record["output"] == 1 for record in records] == [True] * outputs + [False] * (3 - outputs)


def test_executions(wr, client):
    """``executions`` creates, starts, completes, fails and lists executions, and refuses impossible actions."""
    first = client.control("executions", {"module": "A", "manual": True})["id"]
    second = client.control("executions", {"module": "A", "input": {"x": 1}, "manual": True})["id"]
    assert client.control(f"executions/{first}/start")["status"] == "EXECUTING"
    assert client.control(f"executions/{first}/complete", {"output": 1, "usage": 3})["totalUsage"] == 3
    assert client.control(f"executions/{second}/fail", {"error": "no"})["error"] == "no"
    assert [record["id"] for record in client.control("executions", method="GET")] == [first, second]
    assert post(wr, f"executions/{first}/start", {}).status_code == 422
    assert post(wr, f"executions/{first}/explode", {}).status_code == 404
    assert post(wr, f"executions/{second}/fail", {}).json()["errors"][0]["message"] == "error is required"
    assert post(wr, "executions/none/start", {}).status_code == 404


def test_workflows(client):
    """``workflows`` scripts a workflow, and ``runs`` moves the stages of its run and cancels the run."""
    client.control("workflows", {"workflow": "flow", "stages": [{"module": "A", "manual": True}] * 2})
    run_id = client.post(f"{WORKFLOWS}/flow").json()["runId"]
    client.control(f"runs/{run_id}/stages/0/start")
    record = client.control(f"runs/{run_id}/stages/0/complete", {"output": 5})
    assert record["runStages"][0]["output"] == 5
    assert client.control(f"runs/{run_id}/cancel", {"reason": "enough"})["cancelReason"] == "enough"


def test_streams(wr, client):
    """``streams`` changes the options of one execution's streams, and sends raw bytes into them."""
    execution_id = wr.create_execution("A", manual=True)
    client.control(f"streams/{execution_id}/options", {"announce": False, "newline": "\r\n"})
    stream = client.stream(execution_id)
    assert client.control(f"streams/{execution_id}/raw", {"data": ": hello\n\n"}) == {"streams": 1}
    wr.complete(execution_id)
    assert stream.content.startswith(b": hello\n\ndata: {")


def test_faults(wr, client):
    """``faults`` adds, releases and clears faults."""
    path = f"{EXECUTIONS}/{wr.create_execution('A')}"
    client.control("faults", {"effect": "answer", "status": 503, "kind": "record"})
    assert client.get(path).status_code == 503
    hold = client.control("faults", {"effect": "hold", "kind": "record"})["id"]
    assert client.control(f"faults/{hold}/release") == {"hits": 0}
    assert client.get(path).status_code == 200
    client.control("faults", {"effect": "answer", "status": 500, "times": None})
    client.control("faults", method="DELETE")
    assert client.get(path).status_code == 200
    assert post(wr, "faults/99/release", {}).status_code == 404


def test_settings(wr, client):
    """``settings`` changes the given settings and stream options, and refuses an unknown setting."""
    client.control("settings", {"clock_offset": 100, "require_signature": False, "streams": {"ping_interval": 1}})
    assert wr.clock_offset == 100
    assert wr.settings.streams.ping_interval == 1
    for wrong in ({"nonsense": 1}, {"max_body": -1}, {"allowed_workflows": "flow"}, {"streams": {"retry": "x"}}):
        assert post(wr, "settings", wrong).status_code == 422


def test_a_low_limit_can_be_raised(client):
    """The limit of a body's size does not hold for the control endpoints."""
    client.control("settings", {"max_body": 1})
    client.control("settings", {"max_body": 1000})
    client.submit()


def test_journal_catalogue_and_reset(wr, client):
    """``journal`` lists the requests without secrets, ``catalogue`` adds a component, and ``reset`` removes both."""
    client.submit(callbackSecret="very-secret")
    (entry,) = client.control("journal", method="GET")
    assert (entry["kind"], entry["status"]) == ("submit", 200)
    assert "very-secret" not in entry["body"]
    definition = requests.get(wr.url + CATALOGUE, timeout=60).json()[0]
    client.control("catalogue", {**definition, "module": "MINE"})
    assert "MINE" in requests.get(wr.url + CATALOGUE, timeout=60).text
    client.control("reset")
    assert wr.journal == wr.executions == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("scripts", {}),
        ("scripts", {"module": "A", "nonsense": 1}),
        ("scripts", {"module": "A", "steps": 1}),
        ("scripts", {"module": "A", "steps": [1]}),
        ("scripts", {"module": "A", "steps": {}}),
        ("scripts", {"module": "A", "steps": []}),
        ("scripts", {"module": "A", "steps": [{"output": 1}], "output": 2}),
        ("scripts", {"module": "A", "steps": [{"times": None}, {"output": 2}]}),
        ("scripts", {"module": "UNHEARD_OF", "output": 1}),
        ("scripts", {"module": ["A"], "output": 1}),
        ("faults", {"effect": "answer", "status": 503, "module": "UNHEARD_OF"}),
        ("faults", {"effect": "answer", "status": 503, "kind": "submits"}),
        ("components", {}),
        ("components", {"module": "A", "nonsense": 1}),
        ("scripts", []),
        ("executions", {"module": "A", "polls": 0}),
        ("workflows", {"workflow": "flow", "stages": [1]}),
        ("faults", {"effect": "explosion"}),
        ("faults", {"effect": "answer"}),
        ("catalogue", {"module": "A"}),
    ],
)
def test_an_invalid_body_is_refused(wr, path, body):
    """A body with missing, unknown or invalid fields answers 422."""
    assert post(wr, path, body).status_code == 422
