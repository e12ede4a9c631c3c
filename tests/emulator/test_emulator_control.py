"""Control over HTTP."""

from __future__ import annotations

import pytest
import requests

RECORD = "/v1/sdk/components/executions/{}"


def post(wr, path: str, body: object) -> requests.Response:
    return requests.post(f"{wr.url}/_emulator/{path}", json=body, timeout=10)


def test_scripts(client):
    client.control("scripts", {"module": "A", "output": 1})
    client.control("scripts", {"module": "B", "steps": [{"error": "no"}, {"output": 2}]})
    assert client.submit("A", waitForMs=1000)["output"] == 1
    records = [client.submit("B", waitForMs=1000) for _ in range(2)]
    assert (records[0]["error"], records[1]["output"]) == ("no", 2)


def test_executions(wr, client):
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
    client.control("workflows", {"workflow": "flow", "stages": [{"module": "A", "manual": True}] * 2})
    run_id = client.post("/v1/sdk/workflows/flow").json()["runId"]
    client.control(f"runs/{run_id}/stages/0/start")
    record = client.control(f"runs/{run_id}/stages/0/complete", {"output": 5})
    assert record["runStages"][0]["output"] == 5
    assert client.control(f"runs/{run_id}/cancel", {"reason": "enough"})["cancelReason"] == "enough"


def test_streams(wr, client):
    execution_id = wr.create_execution("A", manual=True)
    client.control(f"streams/{execution_id}/options", {"announce": False, "newline": "\r\n"})
    stream = client.stream(execution_id)
    assert client.control(f"streams/{execution_id}/raw", {"data": ": hello\n\n"}) == {"streams": 1}
    wr.complete(execution_id)
    assert stream.content.startswith(b": hello\n\ndata: {")


def test_faults(wr, client):
    execution_id = wr.create_execution("A")
    client.control("faults", {"effect": "answer", "status": 503, "kind": "record"})
    assert client.get(RECORD.format(execution_id)).status_code == 503
    hold = client.control("faults", {"effect": "hold", "kind": "record"})["id"]
    assert client.control(f"faults/{hold}/release") == {"hits": 0}
    assert client.get(RECORD.format(execution_id)).status_code == 200
    client.control("faults", {"effect": "answer", "status": 500, "times": None})
    client.control("faults", method="DELETE")
    assert client.get(RECORD.format(execution_id)).status_code == 200
    assert post(wr, "faults/99/release", {}).status_code == 404


def test_settings(wr, client):
    client.control("settings", {"clock_offset": 100, "require_signature": False, "streams": {"ping_interval": 1}})
    assert wr.clock_offset == 100
    assert wr.settings.streams.ping_interval == 1
    assert post(wr, "settings", {"nonsense": 1}).status_code == 422


def test_journal_catalogue_and_reset(wr, client):
    client.submit(callbackSecret="very-secret")
    (entry,) = client.control("journal", method="GET")
    assert (entry["kind"], entry["status"]) == ("submit", 200)
    assert "very-secret" not in entry["body"]
    definition = requests.get(f"{wr.url}/v1/system/components", timeout=10).json()[0]
    client.control("catalogue", {**definition, "module": "MINE"})
    assert "MINE" in requests.get(f"{wr.url}/v1/system/components", timeout=10).text
    client.control("reset")
    assert wr.journal == wr.executions == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("scripts", {}),
        ("scripts", {"module": "A", "nonsense": 1}),
        ("scripts", {"module": "A", "steps": 1}),
        ("scripts", []),
        ("executions", {"module": "A", "polls": 0}),
        ("workflows", {"workflow": "flow", "stages": [1]}),
        ("faults", {"effect": "explosion"}),
        ("faults", {"effect": "answer"}),
        ("catalogue", {"module": "A"}),
    ],
)
def test_wrong_bodies_are_refused(wr, path, body):
    assert post(wr, path, body).status_code == 422
