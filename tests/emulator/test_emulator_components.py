"""Executing components: bodies, transitions, records, the journal."""

from __future__ import annotations

import json
import re
import threading
import time
from uuid import UUID

import pytest
import requests

from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.emulator import ApiError, Script
from airflow_provider_whiterabbit.emulator.server import app

SUBMIT = "/v1/sdk/components"
RECORD = "/v1/sdk/components/executions/{}"


def test_an_execution_is_created_and_completes_at_once(client):
    created = client.submit("ANYTHING", input={"a": 1})
    assert (created["status"], created["completed"], created["totalUsage"]) == ("CREATED", False, 0)
    UUID(created["id"])
    record = client.record(created["id"])
    assert (record["status"], record["completed"], record["totalUsage"]) == ("COMPLETED", True, 1)
    assert record["output"] == {"module": "ANYTHING", "input": {"a": 1}}
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


def test_the_client_models_understand_the_record(client):
    execution = Execution.from_dict(client.record(client.submit()["id"]))
    assert execution.completed
    assert execution.created_at is not None
    assert execution.callback is not None


def test_random_uuid_really_is_one(client):
    record = client.submit("RANDOM_UUID", waitForMs=10_000)
    assert UUID(record["output"]["uuid"]).version == 4


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"module": ""}, "module"),
        ({"module": 1}, "module"),
        ({"input": []}, "input"),
        ({"config": None}, "config"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 4}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"attempts": 1.5}, "attempts"),
        ({"attempts": None}, "attempts"),
        ({"waitForMs": -1}, "waitForMs"),
        ({"waitForMs": 15001}, "waitForMs"),
        ({"callbackUrl": "http://example.com/x"}, "callbackUrl"),
        ({"callbackUrl": "https://"}, "callbackUrl"),
        ({"callbackUrl": "https://[x/"}, "callbackUrl"),
        ({"callbackUrl": 1}, "callbackUrl"),
        ({"callbackSecret": 1}, "callbackSecret"),
        ({"callbackHeaders": {"a": 1}}, "callbackHeaders"),
        ({"callbackHeaders": []}, "callbackHeaders"),
        ({"callbackHeaders": {"X-Signature": "a"}}, "X-Signature"),
        ({"idempotencyKey": "x"}, "idempotencyKey should not exist"),
    ],
)
def test_bodies_are_checked(wr, client, change, problem):
    body = {"module": "ECHO", "input": {}, "config": {}, **change}
    response = client.post(SUBMIT, json.dumps(body, separators=(",", ":")))
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["code"] == "VALIDATION_ERROR"
    assert problem in error["message"]
    assert wr.executions == []


def test_all_problems_are_told_at_once(client):
    errors = client.post(SUBMIT, '{"module":1,"x":2}').json()["errors"]
    assert len(errors) == 4


@pytest.mark.parametrize("body", ["[]", '"x"', "1", "null"])
def test_a_body_is_an_object(client, body):
    assert client.post(SUBMIT, body).status_code == 422


def test_optional_fields_at_their_limits_are_accepted(client):
    client.submit(attempts=1, waitForMs=0, callbackHeaders={})
    client.submit(attempts=3, waitForMs=15_000, callbackUrl="https://example.invalid/x", callbackHeaders={"a": "b"})


def test_malformed_json_is_a_400(client):
    response = client.post(SUBMIT, '{"module":')
    assert response.status_code == 400
    assert response.json()["statusCode"] == 400


def test_deep_nesting_is_a_400(client):
    depth = 50_000  # how deep a parser goes is another depth in every Python
    body = '{"module":"ECHO","input":{"a":' + "[" * depth + "]" * depth + '},"config":{}}'
    assert client.post(SUBMIT, body).status_code == 400


def test_huge_bodies_are_refused(client, monkeypatch):
    monkeypatch.setattr(app, "MAX_BODY", 1000)
    assert client.post(SUBMIT, '{"a":"' + "x" * 1000 + '"}').status_code == 413


def test_wrong_methods_and_paths(client):
    assert client.get(SUBMIT).status_code == 405
    assert client.get("/v1/sdk/nothing").status_code == 404
    assert client.get("/v2/x").json()["errors"][0]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("suffix", ["", "/stream"])
def test_unknown_executions_are_404(client, suffix):
    response = client.get(RECORD.format("none") + suffix)
    assert response.status_code == 404
    assert response.json()["errors"][0]["code"] == "NOT_FOUND"


def test_a_workflow_component_is_not_executed_alone(client):
    assert client.post(SUBMIT, '{"module":"DEMO_BRANCH","input":{},"config":{}}').status_code == 422


def test_wait_for_ms_waits_for_the_end(wr, client):
    wr.script("SLOW", after=0.1, output=[1])
    assert client.submit("SLOW", waitForMs=15_000)["output"] == [1]


def test_wait_for_ms_gives_up_in_time(wr, client):
    wr.script("NEVER", manual=True, executing_after=0)
    before = time.monotonic()
    assert client.submit("NEVER", waitForMs=50)["status"] == "EXECUTING"
    assert time.monotonic() - before >= 0.05


def test_after_a_time(wr, client, told):
    wr.script("SLOW", after=1.2, executing_after=1, output=1, usage=2.5)
    created = client.submit("SLOW")
    assert told(client.stream(created["id"]).content) == ["CREATED", "EXECUTING", "COMPLETED"]
    assert client.record(created["id"])["totalUsage"] == 2.5


def test_after_polls(wr, client):
    wr.script("POLLED", polls=3, error={"why": "no"})
    execution_id = client.submit("POLLED")["id"]
    assert wr.execution(execution_id)["status"] == "CREATED"
    assert [client.record(execution_id)["status"] for _ in range(4)] == ["EXECUTING", "EXECUTING", "FAILED", "FAILED"]
    assert wr.execution(execution_id)["error"] == {"why": "no"}


def test_when_the_test_says_so(wr, client):
    wr.script("MANUAL", manual=True)
    execution_id = client.submit("MANUAL")["id"]
    assert client.record(execution_id)["status"] == "CREATED"
    wr.start(execution_id)
    wr.start(execution_id)
    assert client.record(execution_id)["status"] == "EXECUTING"
    wr.complete(execution_id, {"x": None}, usage=7)
    record = client.record(execution_id)
    assert (record["status"], record["output"], record["totalUsage"]) == ("COMPLETED", {"x": None}, 7)
    for action in (wr.start, wr.complete, lambda one: wr.fail(one, "no")):
        with pytest.raises(ValueError, match="COMPLETED already"):
            action(execution_id)


def test_an_execution_can_be_made_without_a_request(wr, client):
    wr.script("SWAP", output="scripted")
    assert client.record(wr.create_execution("SWAP"))["output"] == "scripted"
    own = wr.create_execution(module="SWAP", manual=True, output="own")
    wr.complete(own)
    assert client.record(own)["output"] == "own"
    failed = wr.create_execution("SWAP", manual=True)
    wr.fail(failed, "bad")
    assert client.record(failed)["error"] == "bad"
    assert wr.requests(method="POST") == []


def test_a_none_output_is_an_output(wr, client):
    wr.script("NOTHING", output=None)
    assert client.submit("NOTHING", waitForMs=1000)["output"] is None


def test_scripts_take_turns(wr, client):
    wr.script("FLAKY", Script(error="first"), Script(output=2, times=2), Script(output=3))
    records = [client.submit("FLAKY", waitForMs=1000) for _ in range(5)]
    assert [record["error"] or record["output"] for record in records] == ["first", 2, 2, 3, 3]


def test_a_script_can_run_out(wr, client):
    wr.script("ONCE", error="no", times=1)
    assert [client.submit("ONCE", waitForMs=1000)["status"] for _ in range(2)] == ["FAILED", "COMPLETED"]


def test_outputs_can_be_computed(wr, client):
    wr.script("ADD", output=lambda inputs, config: inputs["a"] + config["b"])
    assert client.submit("ADD", input={"a": 1}, config={"b": 2}, waitForMs=1000)["output"] == 3
    failed = client.submit("ADD", waitForMs=1000)
    assert (failed["status"], failed["error"]["type"]) == ("FAILED", "KeyError")


def test_a_script_may_use_the_emulator(wr, client):
    wr.script("FIRST", output=lambda _inputs, _config: wr.create_execution("SECOND"))
    assert client.record(client.submit("FIRST", waitForMs=1000)["output"])["module"] == "SECOND"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"after": 1, "polls": 1}, "exclude each other"),
        ({"polls": 0}, "polls must be at least 1"),
        ({"after": -1}, "after must be at least 0"),
        ({"times": 0}, "times must be at least 1"),
        ({"output": 1, "error": 2}, "not both"),
        ({"output": float("nan")}, "not JSON compliant"),
    ],
)
def test_impossible_scripts_are_refused(wr, options, problem):
    with pytest.raises(ValueError, match=problem):
        wr.script("X", **options)


def test_outputs_must_be_json(wr):
    with pytest.raises(TypeError):
        wr.script("X", output=object())
    with pytest.raises(ValueError, match="not both"):
        wr.script("X", Script(), manual=True)


def test_unknown_ids_raise(wr):
    for ask in (wr.execution, wr.start, wr.run, wr.streams):
        with pytest.raises(ApiError, match="There is no"):
            ask("none")


def test_the_journal_tells_all_but_secrets(wr, client):
    client.submit(callbackSecret="very-secret", callbackUrl="https://example.invalid/x", input={"a": 1})
    client.get(RECORD.format("none"))
    client.post(SUBMIT, '{"callbackSecret":"very-secret"')
    requests.get(f"{wr.url}/v1/elsewhere", timeout=10)
    first, second, third, fourth = wr.journal
    assert (first.method, first.path, first.kind, first.status) == ("POST", SUBMIT, "submit", 200)
    assert first.json["input"] == {"a": 1}
    assert json.loads(first.body) == first.json
    assert (second.kind, second.status, second.body, second.json) == ("record", 404, b"", None)
    assert (third.status, third.json) == (400, None)
    assert (fourth.kind, fourth.status) == (None, 404)
    assert first.monotonic < second.monotonic
    assert first.headers["x-api-key"] == first.headers["x-sdk-signature"] == "***"
    told = repr(wr.journal) + repr(wr.executions)
    for secret in ("very-secret", wr.api_key, wr.api_secret):
        assert secret not in told


def test_requests_are_found(wr, client):
    execution_id = client.submit()["id"]
    client.record(execution_id)
    client.record(execution_id)
    assert len(wr.requests(method="POST")) == 1
    assert len(wr.requests(path="*/executions/*")) == 2
    assert len(wr.requests(path=re.compile(r"/v1/sdk/components"))) == 1
    assert len(wr.requests(kind="record", method="GET")) == 2


def test_waiting_for_a_request(wr, client):
    thread = threading.Thread(target=client.submit)
    thread.start()
    (entry,) = wr.wait_for_request(method="POST", path="/v1/sdk/*", answered=True)
    assert entry.status == 200
    thread.join()
    with pytest.raises(TimeoutError):
        wr.wait_for_request(count=2, timeout=0.01)


def test_waiting_inside_a_script_is_refused(wr, client):
    wr.script("DEADLOCK", output=lambda _inputs, _config: wr.wait_for_request(timeout=1))
    assert "scripts" in client.submit("DEADLOCK", waitForMs=1000)["error"]["message"]


def test_reset_forgets_everything(wr, client):
    wr.script("X", error="no")
    wr.settings.require_signature = False
    wr.clock_offset = 100
    wr.add_component({**requests.get(f"{wr.url}/v1/system/components", timeout=10).json()[0], "module": "MINE"})
    execution_id = wr.create_execution("X", after=0.01)
    wr.reset()
    assert wr.journal == wr.executions == []
    assert wr.clock_offset == 0
    assert wr.settings.require_signature
    assert client.get(RECORD.format(execution_id)).status_code == 404
    assert client.submit("X", waitForMs=1000)["status"] == "COMPLETED"
    assert "MINE" not in requests.get(f"{wr.url}/v1/system/components", timeout=10).text


def test_the_catalogue_can_be_extended(wr):
    first, *_ = requests.get(f"{wr.url}/v1/system/components", timeout=10).json()
    assert first["module"] == "RANDOM_UUID"
    wr.add_component({**first, "module": "MINE"})
    modules = [one["module"] for one in requests.get(f"{wr.url}/v1/system/components", timeout=10).json()]
    assert modules.count("MINE") == 1
    with pytest.raises(ValueError, match="lacks"):
        wr.add_component({"module": "X"})
