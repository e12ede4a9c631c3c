"""Workflows: their runs, stages and streams, and updates of their components."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_whiterabbit.emulator import ApiError
from tests.emulator.api_client import RUNS, WORKFLOWS, ApiClient, statuses


@pytest.fixture
def trigger(client: ApiClient) -> Callable[..., str]:
    """Return a function that starts a workflow and returns the id of the run."""

    def start_workflow(workflow: str = "flow") -> str:
        return str(client.post(f"{WORKFLOWS}/{workflow}").json()["runId"])

    return start_workflow


def stages(record: dict[str, Any]) -> list[str]:
    """Return the statuses of the stages in a run record."""
    return [stage["status"] for stage in record["runStages"]]


def test_a_workflow_runs_its_stages(wr, client):
    """A run executes its stages in turn, and its record shows their outputs and the sum of their usage."""
    wr.script_workflow("flow", [{"module": "A", "output": 1, "usage": 2}, {"module": "B", "after": 0.05, "usage": 3}])
    answer = client.post(f"{WORKFLOWS}/flow").json()
    assert answer.keys() == {"runId", "jobId"}
    UUID(answer["runId"])
    assert answer["jobId"].startswith("bull-")
    assert statuses(client.stream(answer["runId"], RUNS).content)[-1] == "COMPLETED"
    record = client.get(f"{RUNS}/{answer['runId']}").json()
    assert record == {
        "id": answer["runId"],
        "status": "COMPLETED",
        "pendingStageCount": 0,
        "failedStageCount": 0,
        "cancelRequestedAt": None,
        "cancelReason": None,
        "totalUsage": 5,
        "createdAt": record["createdAt"],
        "updatedAt": record["updatedAt"],
        "runStages": record["runStages"],
    }
    first, second = record["runStages"]
    assert first == {
        "id": first["id"],
        "module": "A",
        "status": "COMPLETED",
        "output": 1,
        "error": None,
        "creditUsage": 2,
        "executionEventId": first["executionEventId"],
        "executionDispatchedAt": first["executionDispatchedAt"],
        "executionAttempt": 1,
        "updatedAt": first["updatedAt"],
    }
    assert first["id"] != second["id"]
    assert first["executionEventId"]
    assert record["createdAt"] <= first["executionDispatchedAt"] <= first["updatedAt"] <= record["updatedAt"]


def test_a_stage_without_options_uses_its_module_script(wr, trigger, client):
    """A stage without options uses the script of its module."""
    wr.script("A", output="of the module")
    wr.script_workflow("flow", [{"module": "A"}, {"module": "RANDOM_UUID"}])
    run_id = trigger()
    first, second = client.get(f"{RUNS}/{run_id}").json()["runStages"]
    assert first["output"] == "of the module"
    UUID(second["output"]["uuid"])


def test_a_test_moves_manual_stages(wr, client, trigger):
    """A test can start, complete and fail manual stages; the run's stream and record show each change."""
    wr.script_workflow("flow", [{"module": "A", "manual": True}, {"module": "B", "manual": True}])
    run_id = trigger()
    assert (wr.run(run_id)["status"], stages(wr.run(run_id))) == ("EXECUTING", ["CREATED", "CREATED"])
    wr.start_stage(run_id, 0)
    assert stages(wr.run(run_id)) == ["RUNNING", "CREATED"]
    assert [stage["executionAttempt"] for stage in wr.run(run_id)["runStages"]] == [1, 1]
    stream = client.stream(run_id, RUNS)
    wr.wait_for_stream(run_id)
    wr.complete_stage(run_id, 0, {"a": 1}, usage=4)
    wr.fail_stage(run_id, 1, "bad")
    events = [json.loads(line[6:]) for line in stream.content.decode().split("\n\n") if line]
    assert [event["status"] for event in events] == ["EXECUTING", "EXECUTING", "FAILED"]
    assert events[0].keys() == {"id", "status", "output", "timestamp"}
    assert (events[0]["id"], events[2]["timestamp"]) == (run_id, wr.run(run_id)["updatedAt"])
    output = events[0]["output"]
    counts = {"totalUsage": 0, "pendingStageCount": 2, "failedStageCount": 0}
    stages_left = output["nonTerminalStages"]
    assert output == {**counts, "cancelRequestedAt": None, "cancelReason": None, "nonTerminalStages": stages_left}
    assert output["nonTerminalStages"][0].keys() == {"id", "module", "status", "executionEventId", "executionAttempt"}
    assert events[2]["output"]["nonTerminalStages"] == []
    record = wr.run(run_id)
    assert (record["failedStageCount"], record["totalUsage"]) == (1, 5)
    assert record["runStages"][1]["error"] == "bad"


def test_a_failed_stage_ends_the_run(wr, client, trigger):
    """When a stage fails, the run is FAILED and the later stages are CANCELED."""
    wr.script_workflow("flow", [{"module": "A", "error": "no"}, {"module": "B"}])
    run_id = trigger()
    assert statuses(client.stream(run_id, RUNS).content)[-1] == "FAILED"
    assert stages(client.get(f"{RUNS}/{run_id}").json()) == ["FAILED", "CANCELED"]


def test_a_read_of_the_run_is_a_poll_of_the_stage(wr, client, trigger):
    """Each read of the run record counts as a poll of the current stage."""
    wr.script_workflow("flow", [{"module": "A", "polls": 2}, {"module": "B", "polls": 1}])
    run_id = trigger()
    seen = [client.get(f"{RUNS}/{run_id}").json()["status"] for _ in range(3)]
    assert seen == ["EXECUTING", "EXECUTING", "COMPLETED"]


@pytest.mark.parametrize("ending", ["COMPLETED", "FAILED", "CANCELED"])
def test_a_run_ends_as_scripted(wr, client, trigger, ending):
    """``ending`` sets the last status of a run, and ``reason`` the reason for canceling."""
    wr.script_workflow("flow", [{"module": "A"}], ending=ending, reason="enough")
    run_id = trigger()
    assert statuses(client.stream(run_id, RUNS).content)[-1] == ending
    assert wr.run(run_id)["cancelReason"] == ("enough" if ending == "CANCELED" else None)


def test_a_workflow_without_stages_completes(wr, client, trigger):
    """A run without stages is COMPLETED at once."""
    wr.script_workflow("flow", [])
    assert statuses(client.stream(trigger(), RUNS).content)[-1] == "COMPLETED"


def test_a_run_is_canceled(wr, client):
    """`cancel_run` cancels the run and its stages, once."""
    wr.script_workflow("flow", [{"module": "A", "after": 60}, {"module": "B"}])
    run_id = wr.create_run("flow")
    stream = client.stream(run_id, RUNS)
    wr.wait_for_stream(run_id)
    wr.cancel_run(run_id, "enough")
    assert statuses(stream.content)[-1] == "CANCELED"
    record = client.get(f"{RUNS}/{run_id}").json()
    assert record["cancelReason"] == "enough"
    assert record["cancelRequestedAt"]
    assert stages(record) == ["CANCELED", "CANCELED"]
    with pytest.raises(ValueError, match="CANCELED already"):
        wr.cancel_run(run_id)


def test_a_later_stage_may_be_completed_first(wr, trigger):
    """A later stage may be completed first; the run ends with its last unfinished stage."""
    wr.script_workflow("flow", [{"module": "A", "manual": True}, {"module": "B", "manual": True}])
    run_id = trigger()
    wr.complete_stage(run_id, 1)
    assert wr.run(run_id)["status"] == "EXECUTING"
    wr.complete_stage(run_id, 0)
    assert wr.run(run_id)["status"] == "COMPLETED"


def test_unknown_workflows_runs_and_stages(wr, client):
    """Unknown workflows and runs answer 404, and an unknown stage raises `ApiError`."""
    assert client.post(f"{WORKFLOWS}/none").status_code == 404
    assert client.get(f"{RUNS}/none").status_code == 404
    assert client.get(f"{RUNS}/none/stream").status_code == 404
    with pytest.raises(ApiError, match="There is no stage"):
        wr.start_stage(wr.create_run("demo"), 9)


def test_a_trigger_takes_no_fields(client):
    """A workflow is triggered with the body ``{}`` or without a body; any other body answers 422."""
    assert client.post(f"{WORKFLOWS}/demo", "{}").status_code == 200
    assert client.request("POST", f"{WORKFLOWS}/demo").status_code == 200
    for wrong in ('{"a":1}', "[]", "null"):
        assert client.post(f"{WORKFLOWS}/demo", wrong).status_code == 422


def test_allowed_workflows(wr, client):
    """A workflow that is not in `allowed_workflows` answers 403; an empty list allows all."""
    wr.settings.allowed_workflows = ["other"]
    response = client.post(f"{WORKFLOWS}/demo")
    assert response.status_code == 403
    assert client.post(f"{WORKFLOWS}/demo/components/c").status_code == 403
    wr.settings.allowed_workflows = []
    assert client.post(f"{WORKFLOWS}/demo").status_code == 200


def test_a_component_is_updated(wr, client):
    """An update merges the given fields into the component, also those of its config, and refuses invalid fields."""
    path = f"{WORKFLOWS}/demo/components/c1"
    assert client.post(path, '{"config":{"a":1},"position":[1,2.5]}').json()["config"] == {"a": 1}
    expected = {"id": "c1", "config": {"a": 1}, "position": [1, 2.5], "name": "n"}
    assert client.post(path, '{"name":"n"}').json() == expected
    merged = client.post(path, '{"config":{"b":[2],"c":{}}}').json()
    assert merged == expected | {"config": {"a": 1, "b": [2], "c": {}}}
    assert client.post(path, '{"config":{"a":null}}').json()["config"] == {"a": None, "b": [2], "c": {}}
    for wrong in ('{"position":[1]}', '{"position":["1",2]}', '{"config":1}', '{"name":2}', '{"other":1}', "[]"):
        assert client.post(path, wrong).status_code == 422


@pytest.mark.parametrize(
    ("stage", "ending", "problem"),
    [({}, None, "needs a module"), ({"module": "A"}, "CANCELLED", "ending must be")],
)
def test_invalid_workflows_are_refused(wr, stage, ending, problem):
    """A stage without a module and an unknown ending raise `ValueError`."""
    with pytest.raises(ValueError, match=problem):
        wr.script_workflow("flow", [stage], ending=ending)


def test_the_demo_workflow_exists(wr, trigger):
    """The workflow ``demo`` exists without a script."""
    modules = [stage["module"] for stage in wr.run(trigger("demo"))["runStages"]]
    assert modules == ["RANDOM_UUID", "WAIT_FOR_EVM_TRANSACTION"]
