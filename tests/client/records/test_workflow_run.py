"""Workflow runs: records, stages and events are parsed strictly for id and status, and leniently elsewhere."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.records.status import StageStatus, WorkflowRunStatus
from airflow_provider_whiterabbit.client.records.workflow_run import RunStage, WorkflowRun, WorkflowRunEvent
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError
from tests.client.properties import examples

STAGE = {
    "id": "s-1",
    "module": "SWAP",
    "status": "FAILED",
    "output": None,
    "error": {"message": "slippage", "code": 7},
    "creditUsage": 1.5,
    "executionEventId": "e-1",
    "executionDispatchedAt": "2026-04-20T10:00:00Z",
    "executionAttempt": 2,
    "updatedAt": "2026-04-20T12:00:00+02:00",
}
RECORD = {
    "id": "r-1",
    "status": "FAILED",
    "pendingStageCount": 0,
    "failedStageCount": 1,
    "cancelRequestedAt": None,
    "cancelReason": None,
    "totalUsage": 2.5,
    "createdAt": "2026-04-20T10:00:00Z",
    "updatedAt": "2026-04-20T10:00:00.000Z",
    "runStages": [{"id": "s-0", "status": "COMPLETED", "output": {"a": 1}, "error": None}, STAGE],
}
EVENT = {
    "id": "r-1",
    "status": "EXECUTING",
    "output": {
        "totalUsage": 1.5,
        "pendingStageCount": 1,
        "failedStageCount": 0,
        "cancelRequestedAt": None,
        "cancelReason": None,
        "nonTerminalStages": [{"id": "s-1", "module": "SWAP", "status": "RUNNING"}],
    },
    "timestamp": "2026-04-20T10:00:00Z",
}
TEN = pendulum.datetime(2026, 4, 20, 10)


def stage(status: str, **fields: Any) -> dict[str, Any]:
    """Return the JSON of a stage with this status."""
    return {"id": "s", "status": status, "output": None, "error": None, **fields}


def run(status: str, *stages: dict[str, Any], **fields: Any) -> WorkflowRun:
    """Return a workflow run with this status and these stages."""
    return WorkflowRun.from_dict({"id": "r", "status": status, "runStages": list(stages), **fields})


# --- documented records and events


def test_a_documented_record(warnings: Callable[[], list[str]]) -> None:
    """Every field of a documented record of a workflow run is parsed, without a warning."""
    workflow_run = WorkflowRun.from_dict(RECORD)
    assert workflow_run == WorkflowRun(
        id="r-1",
        status=WorkflowRunStatus.FAILED,
        stages=(
            RunStage("s-0", StageStatus.COMPLETED, {"a": 1}, None),
            RunStage(
                id="s-1",
                status=StageStatus.FAILED,
                output=None,
                error={"message": "slippage", "code": 7},
                module="SWAP",
                credit_usage=1.5,
                execution_event_id="e-1",
                execution_dispatched_at=TEN,
                execution_attempt=2,
                updated_at=TEN,
            ),
        ),
        pending_stage_count=0,
        failed_stage_count=1,
        total_usage=2.5,
        created_at=TEN,
        updated_at=TEN,
    )
    assert workflow_run.completed
    assert not warnings()


def test_result_is_the_record() -> None:
    """The result of a workflow run is the JSON of the API, unknown fields included."""
    record = {**RECORD, "new": [1]}
    result = WorkflowRun.from_dict(record).result
    assert result == record == json.loads(json.dumps(result))
    assert type(result) is dict


def test_a_documented_event(warnings: Callable[[], list[str]]) -> None:
    """An event that knows the number of stages tells in its progress how many of them are done."""
    event = WorkflowRunEvent.from_dict(EVENT, stage_count=3)
    assert (event.id, event.status, event.timestamp) == ("r-1", WorkflowRunStatus.EXECUTING, TEN)
    assert event.progress == "EXECUTING, 2 of 3 stages done, 1.5 credits"
    assert not warnings()


@pytest.mark.parametrize(("model", "data"), [(WorkflowRun, RECORD), (WorkflowRunEvent, EVENT), (RunStage, STAGE)])
def test_frozen(model: Any, data: dict[str, Any]) -> None:
    """Records, stages and events are equal if their JSON is equal, and their fields cannot be assigned."""
    parsed = model.from_dict(data)
    assert parsed == model.from_dict(data)
    with pytest.raises((FrozenInstanceError, AttributeError)):
        parsed.id = "other"


# --- strict fields

WRONG: list[Any] = [None, "", 7, [], {}, True]


@pytest.mark.parametrize("model", [WorkflowRun, WorkflowRunEvent, RunStage])
@pytest.mark.parametrize("data", [None, [], "x", 7])
def test_only_objects_are_parsed(model: Any, data: Any) -> None:
    """A record, stage or event of a workflow run that is not a JSON object raises an error."""
    with pytest.raises(WhiteRabbitProtocolError, match="expected a JSON object"):
        model.from_dict(data)


@pytest.mark.parametrize(("model", "data"), [(WorkflowRun, RECORD), (WorkflowRunEvent, EVENT), (RunStage, STAGE)])
@pytest.mark.parametrize("name", ["id", "status"])
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_wrong_id_or_status(model: Any, data: dict[str, Any], name: str, value: Any) -> None:
    """An id or a status that is missing, or not as documented, raises an error that names the field."""
    with pytest.raises(WhiteRabbitProtocolError, match=name):
        model.from_dict({**data, name: value})
    with pytest.raises(WhiteRabbitProtocolError, match=name):
        model.from_dict({key: field for key, field in data.items() if key != name})


@pytest.mark.parametrize(
    ("model", "data", "status"),
    [
        (WorkflowRun, RECORD, "CANCELLED"),
        (WorkflowRun, RECORD, "RUNNING"),
        (WorkflowRun, RECORD, "completed"),
        (WorkflowRunEvent, EVENT, "PAUSED"),
    ],
)
def test_unknown_status(model: Any, data: dict[str, Any], status: str) -> None:
    """An unknown status that may be an end raises an error: RUNNING for a run, CANCELLED with two L."""
    with pytest.raises(WhiteRabbitProtocolError, match=f"'{status}'"):
        model.from_dict({**data, "status": status, "completed": True})


@pytest.mark.parametrize("status", ["RUNNING", "PAUSED"])
def test_an_unknown_status_that_is_no_end(status: str, warnings: Callable[[], list[str]]) -> None:
    """An unknown status of a run is kept if ``completed`` is false, or missing in an event, with one warning."""
    for parsed in (
        WorkflowRun.from_dict({**RECORD, "status": status, "completed": False}),
        WorkflowRunEvent.from_dict({**EVENT, "status": status}),
    ):
        assert parsed.status == status
        assert not any((parsed.is_terminal, parsed.succeeded, parsed.failed))
        assert parsed.progress.startswith(f"{status!r}, ")
    assert len(warnings()) == 1


@pytest.mark.parametrize("status", ["EXECUTING", "SKIPPED", "x" * 10_000])
def test_unknown_statuses_of_stages(status: str, warnings: Callable[[], list[str]]) -> None:
    """A stage with an unknown status is kept as it is, warned of once, and the run's verdict is its own status."""
    stages = [{**STAGE, "id": f"s-{number}", "status": status} for number in range(3)]
    workflow_run = WorkflowRun.from_dict({**RECORD, "status": "COMPLETED", "runStages": stages})
    assert workflow_run.succeeded
    assert [stage.status for stage in workflow_run.stages] == [status] * 3
    assert not any(stage.is_terminal or stage.failed or stage.succeeded for stage in workflow_run.stages)
    assert workflow_run.progress == "COMPLETED, 0 of 3 stages done, 2.5 credits"
    [warning] = warnings()
    assert len(warning) < 250


def test_completed_with_failed_stages(warnings: Callable[[], list[str]]) -> None:
    """A run that is COMPLETED although stages FAILED is COMPLETED, and a warning says how many."""
    assert WorkflowRun.from_dict({**RECORD, "status": "COMPLETED"}).succeeded
    assert ["1 of its 2 stages FAILED" in warning for warning in warnings()] == [True]


def test_a_requested_cancellation(warnings: Callable[[], list[str]]) -> None:
    """A cancellation that was requested is told once while the run goes on, from its record or from an event."""
    requested = "2026-04-20T10:00:07Z"
    WorkflowRunEvent.from_dict({**EVENT, "output": {"cancelRequestedAt": requested}})
    assert len(warnings()) == 1
    for _ in range(2):
        WorkflowRun.from_dict({**RECORD, "status": "EXECUTING", "cancelRequestedAt": requested})
    assert len(warnings()) == 1
    WorkflowRun.from_dict({**RECORD, "id": "r-3", "status": "EXECUTING", "cancelRequestedAt": requested})
    text = "its cancellation was requested at 2026-04-20T10:00:07"
    assert [text in warning for warning in warnings()] == [True, True]
    WorkflowRun.from_dict({**RECORD, "id": "r-2", "status": "CANCELED", "cancelRequestedAt": requested})
    assert len(warnings()) == 2


@pytest.mark.parametrize("stages", [None, {}, "x", 7, [None], [{}], [7]], ids=repr)
def test_wrong_stages(stages: Any) -> None:
    """A record whose stages are missing or malformed raises an error, because the stages hold the outputs."""
    with pytest.raises(WhiteRabbitProtocolError):
        WorkflowRun.from_dict({**RECORD, "runStages": stages})


def test_no_stages() -> None:
    """A workflow run can have an empty list of stages."""
    assert run("COMPLETED").progress == "COMPLETED, 0 of 0 stages done"


# --- lenient fields


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [
        ("pendingStageCount", "pending_stage_count", "0"),
        ("failedStageCount", "failed_stage_count", True),
        ("cancelRequestedAt", "cancel_requested_at", "yesterday"),
        ("cancelReason", "cancel_reason", {"why": "so"}),
        ("totalUsage", "total_usage", "2.5"),
        ("createdAt", "created_at", 1745143200),
        ("updatedAt", "updated_at", "2026-99-99"),
    ],
)
def test_other_fields_become_none(name: str, attribute: str, value: Any, warnings: Callable[[], list[str]]) -> None:
    """Any other field of a run that has an unknown form becomes None, with one warning for all records."""
    for _ in range(2):
        assert getattr(WorkflowRun.from_dict({**RECORD, name: value}), attribute) is None
    assert len(warnings()) == 1
    assert name in warnings()[0]


@pytest.mark.parametrize("name", sorted(STAGE.keys() - {"id", "status", "output", "error"}))
def test_other_fields_of_a_stage_become_none(name: str, warnings: Callable[[], list[str]]) -> None:
    """Any other field of a stage that has an unknown form is ignored, with a warning."""
    assert RunStage.from_dict({**STAGE, name: ["odd"]}).id == "s-1"
    assert name in warnings()[0]


@pytest.mark.parametrize(
    ("output", "progress"),
    [
        (None, "EXECUTING"),
        ("text", "EXECUTING"),
        ({}, "EXECUTING"),
        ({"nonTerminalStages": None}, "EXECUTING"),
        ({"nonTerminalStages": []}, "EXECUTING, 3 of 3 stages done"),
        ({"nonTerminalStages": [None, 7]}, "EXECUTING, 1 of 3 stages done"),
        ({"nonTerminalStages": [{}] * 5}, "EXECUTING, 0 of 3 stages done"),
        ({"nonTerminalStages": [{}], "totalUsage": "much"}, "EXECUTING, 2 of 3 stages done"),
        ({"nonTerminalStages": [{}], "totalUsage": 1e6}, "EXECUTING, 2 of 3 stages done, 1000000 credits"),
    ],
    ids=ascii,
)
def test_progress_of_an_event(output: Any, progress: str) -> None:
    """The progress of an event shows what its fields tell; fields of an unknown form are left out."""
    assert WorkflowRunEvent.from_dict({**EVENT, "output": output}, 3).progress == progress


@given(
    st.fixed_dictionaries(
        {"id": st.just("r"), "status": st.sampled_from(sorted(WorkflowRunStatus))},
        optional={
            name: st.none() | st.integers() | st.text(max_size=30) | st.lists(st.none()) | st.booleans()
            for name in (*RECORD.keys() - {"id", "status"}, "output", "timestamp")
        },
    )
)
@examples(100)
def test_any_fields(data: dict[str, Any]) -> None:
    """A record or an event with any JSON in its other fields is parsed, or raises a protocol error."""
    assert WorkflowRunEvent.from_dict(data).progress
    with contextlib.suppress(WhiteRabbitProtocolError):
        workflow_run = WorkflowRun.from_dict(data)
        assert workflow_run.progress
        assert workflow_run.failure


# --- texts


@pytest.mark.parametrize(
    ("stages", "usage", "progress"),
    [
        (["CREATED", "CREATED"], 0, "EXECUTING, 0 of 2 stages done, 0 credits"),
        (["COMPLETED", "RUNNING"], 1, "EXECUTING, 1 of 2 stages done, 1 credits"),
        (["COMPLETED", "FAILED", "CANCELED", "CREATED"], 1.5, "EXECUTING, 3 of 4 stages done, 1.5 credits"),
        (["COMPLETED"], None, "EXECUTING, 1 of 1 stages done"),
    ],
)
def test_progress_of_a_record(stages: list[str], usage: float | None, progress: str) -> None:
    """The progress of a run counts every terminal stage as done, and shows the credits if they are known."""
    assert run("EXECUTING", *map(stage, stages), totalUsage=usage).progress == progress


def test_failure_names_the_stages() -> None:
    """The failure text names each failed stage by its number and module (or id), with its error."""
    failed = run(
        "FAILED",
        stage("COMPLETED", module="QUOTE"),
        stage("FAILED", module="SWAP", error={"message": "no funds"}),
        stage("FAILED", error={"code": 7, "text": "é"}),
        stage("FAILED", module="PAY", error="late"),
        stage("CANCELED", module="REPORT"),
    )
    assert failed.failure == (
        "Workflow run r FAILED: stage 2 (SWAP) FAILED: no funds; "
        'stage 3 (s) FAILED: {"code": 7, "text": "é"}; stage 4 (PAY) FAILED: late'
    )


@pytest.mark.parametrize(
    ("reason", "stages", "expected"),
    [
        ("second thoughts", ["CANCELED"], "Workflow run r CANCELED: second thoughts"),
        (None, ["COMPLETED"], "Workflow run r CANCELED: no reason given"),
        ("why not", ["FAILED"], "Workflow run r CANCELED: why not; stage 1 (s) FAILED: null"),
    ],
)
def test_cancellation_names_its_reason(reason: str | None, stages: list[str], expected: str) -> None:
    """The failure text of a canceled run has the reason of the cancellation, and the stages that had failed."""
    assert run("CANCELED", *map(stage, stages), cancelReason=reason).failure == expected


def test_failure_without_a_failed_stage() -> None:
    """The failure text of a failed run without a failed stage says that no stage has an error."""
    assert run("FAILED", stage("COMPLETED")).failure == "Workflow run r FAILED: no stage has an error"


def test_failure_text_is_cut() -> None:
    """The failure text shows the beginning of an error of a megabyte, in fewer than 3,000 characters."""
    assert len(run("FAILED", stage("FAILED", error="x" * 1_000_000)).failure) < 3000
