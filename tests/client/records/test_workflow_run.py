"""Records and events of workflow runs: strict where an end depends on it, and lenient elsewhere with one warning."""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import FrozenInstanceError
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.records import fields
from airflow_provider_whiterabbit.client.records.execution import Glance
from airflow_provider_whiterabbit.client.records.workflow_run import (
    RunStage,
    StageStatus,
    WorkflowRun,
    WorkflowRunEvent,
    WorkflowRunStatus,
)
from airflow_provider_whiterabbit.client.wait.target import followed_run
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


@pytest.fixture(autouse=True)
def _nothing_warned_of_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "_warned", set())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def stage(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "s", "status": status, "output": None, "error": None, **more}


def run(status: str, *stages: dict[str, Any], **more: Any) -> WorkflowRun:
    return WorkflowRun.from_dict({"id": "r", "status": status, "runStages": list(stages), **more})


# --- what is read


def test_a_documented_record(caplog: pytest.LogCaptureFixture) -> None:
    """Every field of a documented record is read, and nothing is warned of."""
    read = WorkflowRun.from_dict(RECORD)
    assert read == WorkflowRun(
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
    assert read.completed
    assert not warnings(caplog)


def test_result_is_the_record() -> None:
    """What a task returns is the API's JSON, unknown fields included."""
    record = {**RECORD, "new": [1]}
    result = WorkflowRun.from_dict(record).result
    assert result == record == json.loads(json.dumps(result))
    assert type(result) is dict


def test_a_documented_event(caplog: pytest.LogCaptureFixture) -> None:
    """An event says how far its run got where the record told how far there is to go."""
    event = WorkflowRunEvent.from_dict(EVENT, stage_count=3)
    assert (event.id, event.status, event.timestamp) == ("r-1", WorkflowRunStatus.EXECUTING, TEN)
    assert event.progress == "EXECUTING, 2 of 3 stages done, 1.5 credits"
    assert not warnings(caplog)


@pytest.mark.parametrize(("model", "data"), [(WorkflowRun, RECORD), (WorkflowRunEvent, EVENT), (RunStage, STAGE)])
def test_frozen(model: Any, data: dict[str, Any]) -> None:
    """What was read is a value, and does not change."""
    read = model.from_dict(data)
    assert read == model.from_dict(data)
    with pytest.raises((FrozenInstanceError, AttributeError)):
        read.id = "other"


# --- strict

SENSELESS: list[Any] = [None, "", 7, [], {}, True]


@pytest.mark.parametrize("model", [WorkflowRun, WorkflowRunEvent, RunStage])
@pytest.mark.parametrize("data", [None, [], "x", 7])
def test_no_object(model: Any, data: Any) -> None:
    """What is no JSON object is nothing that the API has."""
    with pytest.raises(WhiteRabbitProtocolError, match="expected a JSON object"):
        model.from_dict(data)


@pytest.mark.parametrize(("model", "data"), [(WorkflowRun, RECORD), (WorkflowRunEvent, EVENT), (RunStage, STAGE)])
@pytest.mark.parametrize("name", ["id", "status"])
@pytest.mark.parametrize("value", SENSELESS, ids=repr)
def test_strict(model: Any, data: dict[str, Any], name: str, value: Any) -> None:
    """Without an id or a status that is known, nothing is known."""
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
        (RunStage, STAGE, "EXECUTING"),
        (RunStage, STAGE, "SKIPPED"),
        (WorkflowRunEvent, EVENT, "PAUSED"),
    ],
)
def test_unknown_status(model: Any, data: dict[str, Any], status: str) -> None:
    """A status that we don't know is not guessed at: a run has EXECUTING, a stage RUNNING, and CANCELED one L."""
    with pytest.raises(WhiteRabbitProtocolError, match=f"'{status}'"):
        model.from_dict({**data, "status": status})


@pytest.mark.parametrize("stages", [None, {}, "x", 7, [None], [{}], [7]], ids=repr)
def test_stages_are_strict(stages: Any) -> None:
    """The stages hold the outputs: a record without them is not taken for one."""
    with pytest.raises(WhiteRabbitProtocolError):
        WorkflowRun.from_dict({**RECORD, "runStages": stages})


def test_no_stages_are_possible() -> None:
    """A run without stages is one."""
    assert run("COMPLETED").progress == "COMPLETED, 0 of 0 stages done"


# --- lenient


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
def test_lenient(name: str, attribute: str, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Every other field degrades to None, with one warning."""
    for _ in range(2):
        assert getattr(WorkflowRun.from_dict({**RECORD, name: value}), attribute) is None
    assert len(warnings(caplog)) == 1
    assert name in warnings(caplog)[0]


@pytest.mark.parametrize("name", sorted(STAGE.keys() - {"id", "status", "output", "error"}))
def test_lenient_stage(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A stage's lesser fields degrade too."""
    assert RunStage.from_dict({**STAGE, name: ["odd"]}).id == "s-1"
    assert name in warnings(caplog)[0]


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
def test_lenient_event(output: Any, progress: str) -> None:
    """An event's progress says what can be known, and is never a reason to fail."""
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
def test_anything_else(data: dict[str, Any]) -> None:
    """Whatever the other fields hold, a record or event is read, or the protocol error says what is wrong."""
    assert WorkflowRunEvent.from_dict(data).progress
    with contextlib.suppress(WhiteRabbitProtocolError):
        read = WorkflowRun.from_dict(data)
        assert read.progress
        assert read.failure


# --- words


@pytest.mark.parametrize(
    ("stages", "usage", "progress"),
    [
        (["CREATED", "CREATED"], 0, "EXECUTING, 0 of 2 stages done, 0 credits"),
        (["COMPLETED", "RUNNING"], 1, "EXECUTING, 1 of 2 stages done, 1 credits"),
        (["COMPLETED", "FAILED", "CANCELED", "CREATED"], 1.5, "EXECUTING, 3 of 4 stages done, 1.5 credits"),
        (["COMPLETED"], None, "EXECUTING, 1 of 1 stages done"),
    ],
)
def test_progress(stages: list[str], usage: float | None, progress: str) -> None:
    """What has ended is done, in whichever way; credits are told where they are known."""
    assert run("EXECUTING", *map(stage, stages), totalUsage=usage).progress == progress


def test_failure_names_the_stages() -> None:
    """Every stage that failed is named, by number and module, with White Rabbit's words."""
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
    """A canceled run says why it was, and what had failed before."""
    assert run("CANCELED", *map(stage, stages), cancelReason=reason).failure == expected


def test_failure_without_a_failed_stage() -> None:
    """A run may fail though no stage did; that is said."""
    assert run("FAILED", stage("COMPLETED")).failure == "Workflow run r FAILED: no stage says why"


def test_failure_is_bounded() -> None:
    """An error of a megabyte does not become a message of a megabyte."""
    assert len(run("FAILED", stage("FAILED", error="x" * 1_000_000)).failure) < 3000


@pytest.mark.parametrize("statuses", [WorkflowRunStatus, StageStatus])
def test_terminal(statuses: Any) -> None:
    """Three statuses are ends, the others are not."""
    assert {status for status in statuses if status.is_terminal} == {"COMPLETED", "FAILED", "CANCELED"}


# --- how a run is followed


def test_glance_at_a_huge_record() -> None:
    """Id and status suffice where the rest is too large to read; whatever has stages is read as the record."""
    followed = followed_run("r-1")
    glance = followed.parse_glance({"id": "r-1", "status": "EXECUTING"})
    assert isinstance(glance, Glance)
    assert glance.progress == "EXECUTING"
    assert followed.parse_event(EVENT).progress == "EXECUTING, 1.5 credits"
    assert isinstance(followed.parse_glance(RECORD), WorkflowRun)
    assert followed.parse_event(EVENT).progress == "EXECUTING, 1 of 2 stages done, 1.5 credits"


@pytest.mark.parametrize("data", [None, [], "runStages", {"status": "FAILED"}, {"id": "r-1", "status": "PAUSED"}])
def test_senseless_glance(data: Any) -> None:
    """A glance is as strict about id and status as the record."""
    with pytest.raises(WhiteRabbitProtocolError):
        followed_run("r-1").parse_glance(data)


def test_runs_do_not_share_what_was_learnt() -> None:
    """How many stages one run has says nothing of another."""
    followed_run("r-1").parse_record(RECORD)
    assert "stages done" not in followed_run("r-2").parse_event({**EVENT, "id": "r-2"}).progress
