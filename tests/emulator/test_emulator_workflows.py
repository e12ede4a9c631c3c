"""Workflows: triggering, runs, stages, streams, component updates."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from airflow_provider_whiterabbit.emulator import ApiError

RUN = "/v1/sdk/workflows/executions"


@pytest.fixture
def trigger(client):
    def post(workflow: str = "flow") -> str:
        return client.post(f"/v1/sdk/workflows/{workflow}").json()["runId"]

    return post


def stages(record) -> list[str]:
    return [stage["status"] for stage in record["runStages"]]


def test_a_workflow_runs_its_stages(wr, client, told):
    wr.script_workflow("flow", [{"module": "A", "output": 1, "usage": 2}, {"module": "B", "after": 0.05, "usage": 3}])
    answer = client.post("/v1/sdk/workflows/flow").json()
    assert answer.keys() == {"runId", "jobId"}
    UUID(answer["runId"])
    assert answer["jobId"].startswith("bull-")
    assert told(client.stream(answer["runId"], RUN).content)[-1] == "COMPLETED"
    record = client.get(f"{RUN}/{answer['runId']}").json()
    assert (record["status"], record["totalUsage"], record["pendingStageCount"]) == ("COMPLETED", 5, 0)
    assert record["failedStageCount"] == 0
    assert record["cancelRequestedAt"] is record["cancelReason"] is None
    first = record["runStages"][0]
    assert first.keys() == {
        "id",
        "module",
        "status",
        "output",
        "error",
        "creditUsage",
        "executionEventId",
        "executionDispatchedAt",
        "executionAttempt",
        "updatedAt",
    }
    assert (first["module"], first["status"], first["output"], first["creditUsage"]) == ("A", "COMPLETED", 1, 2)


def test_a_stage_without_options_follows_its_module(wr, trigger, client):
    wr.script("A", output="of the module")
    wr.script_workflow("flow", [{"module": "A"}, {"module": "RANDOM_UUID"}])
    run_id = trigger()
    first, second = client.get(f"{RUN}/{run_id}").json()["runStages"]
    assert first["output"] == "of the module"
    UUID(second["output"]["uuid"])


def test_stages_move_when_the_test_says_so(wr, client, trigger):
    wr.script_workflow("flow", [{"module": "A", "manual": True}, {"module": "B", "manual": True}])
    run_id = trigger()
    assert (wr.run(run_id)["status"], stages(wr.run(run_id))) == ("EXECUTING", ["CREATED", "CREATED"])
    wr.start_stage(run_id, 0)
    assert stages(wr.run(run_id)) == ["RUNNING", "CREATED"]
    stream = client.stream(run_id, RUN)
    wr.wait_for_stream(run_id)
    wr.complete_stage(run_id, 0, {"a": 1}, usage=4)
    wr.fail_stage(run_id, 1, "bad")
    events = [json.loads(line[6:]) for line in stream.content.decode().split("\n\n") if line]
    assert [event["status"] for event in events] == ["EXECUTING", "EXECUTING", "FAILED"]
    output = events[0]["output"]
    assert output["pendingStageCount"] == 2
    assert output["nonTerminalStages"][0].keys() == {"id", "module", "status", "executionEventId", "executionAttempt"}
    assert events[2]["output"]["nonTerminalStages"] == []
    record = wr.run(run_id)
    assert (record["failedStageCount"], record["totalUsage"]) == (1, 5)
    assert record["runStages"][1]["error"] == "bad"


def test_a_failed_stage_ends_the_run(wr, client, trigger, told):
    wr.script_workflow("flow", [{"module": "A", "error": "no"}, {"module": "B"}])
    run_id = trigger()
    assert told(client.stream(run_id, RUN).content)[-1] == "FAILED"
    assert stages(client.get(f"{RUN}/{run_id}").json()) == ["FAILED", "CANCELED"]


def test_stages_count_polls_of_the_run(wr, client, trigger):
    wr.script_workflow("flow", [{"module": "A", "polls": 2}, {"module": "B", "polls": 1}])
    run_id = trigger()
    seen = [client.get(f"{RUN}/{run_id}").json()["status"] for _ in range(3)]
    assert seen == ["EXECUTING", "EXECUTING", "COMPLETED"]


@pytest.mark.parametrize("ending", ["COMPLETED", "FAILED", "CANCELED"])
def test_a_run_ends_as_scripted(wr, client, trigger, told, ending):
    wr.script_workflow("flow", [{"module": "A"}], ending=ending, reason="enough")
    run_id = trigger()
    assert told(client.stream(run_id, RUN).content)[-1] == ending
    assert wr.run(run_id)["cancelReason"] == ("enough" if ending == "CANCELED" else None)


def test_a_workflow_without_stages_completes(wr, client, trigger, told):
    wr.script_workflow("flow", [])
    assert told(client.stream(trigger(), RUN).content)[-1] == "COMPLETED"


def test_a_run_is_canceled(wr, client, told):
    wr.script_workflow("flow", [{"module": "A", "after": 60}, {"module": "B"}])
    run_id = wr.create_run("flow")
    stream = client.stream(run_id, RUN)
    wr.wait_for_stream(run_id)
    wr.cancel_run(run_id, "enough")
    assert told(stream.content)[-1] == "CANCELED"
    record = client.get(f"{RUN}/{run_id}").json()
    assert record["cancelReason"] == "enough"
    assert record["cancelRequestedAt"]
    assert stages(record) == ["CANCELED", "CANCELED"]
    with pytest.raises(ValueError, match="CANCELED already"):
        wr.cancel_run(run_id)


def test_a_stage_out_of_turn_leaves_the_current_one_running(wr, trigger):
    wr.script_workflow("flow", [{"module": "A", "manual": True}, {"module": "B", "manual": True}])
    run_id = trigger()
    wr.complete_stage(run_id, 1)
    assert wr.run(run_id)["status"] == "EXECUTING"
    wr.complete_stage(run_id, 0)
    assert wr.run(run_id)["status"] == "COMPLETED"


def test_unknown_workflows_runs_and_stages(wr, client):
    assert client.post("/v1/sdk/workflows/none").status_code == 404
    assert client.get(f"{RUN}/none").status_code == 404
    assert client.get(f"{RUN}/none/stream").status_code == 404
    with pytest.raises(ApiError, match="There is no stage"):
        wr.start_stage(wr.create_run("demo"), 9)


def test_the_body_is_an_empty_object(client):
    assert client.post("/v1/sdk/workflows/demo", '{"a":1}').status_code == 422
    path = "/v1/sdk/workflows/demo"
    assert client.request("POST", path).status_code == 422


def test_a_key_may_be_restricted(wr, client):
    wr.settings.allowed_workflows = ["other"]
    response = client.post("/v1/sdk/workflows/demo")
    assert response.status_code == 403
    assert client.post("/v1/sdk/workflows/demo/components/c").status_code == 403


def test_a_component_is_updated(wr, client):
    path = "/v1/sdk/workflows/demo/components/c1"
    assert client.post(path, '{"config":{"a":1},"position":[1,2.5]}').json()["config"] == {"a": 1}
    expected = {"id": "c1", "config": {"a": 1}, "position": [1, 2.5], "name": "n"}
    assert client.post(path, '{"name":"n"}').json() == expected
    for wrong in ('{"position":[1]}', '{"position":["1",2]}', '{"config":1}', '{"name":2}', '{"other":1}', "[]"):
        assert client.post(path, wrong).status_code == 422


@pytest.mark.parametrize(
    ("stage", "ending", "problem"),
    [({}, None, "needs a module"), ({"module": "A"}, "CANCELLED", "ending must be")],
)
def test_impossible_workflows_are_refused(wr, stage, ending, problem):
    with pytest.raises(ValueError, match=problem):
        wr.script_workflow("flow", [stage], ending=ending)


def test_the_demo_workflow_is_always_there(wr, trigger):
    assert [stage["module"] for stage in wr.run(trigger("demo"))["runStages"]] == ["RANDOM_UUID", "DEMO_TOKEN_SWAP"]
