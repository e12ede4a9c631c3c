"""`Target` and `Followed`: what can be waited for, and how its records, events and glances are parsed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent
from airflow_provider_whiterabbit.client.records.glance import Glance
from airflow_provider_whiterabbit.client.records.status import ExecutionStatus
from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun, WorkflowRunEvent
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.wait.followed import Followed
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, WORKFLOW_RUN, Target
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitInputError,
    WhiteRabbitProtocolError,
    WhiteRabbitStreamError,
    WhiteRabbitTransportError,
)

both_targets = pytest.mark.parametrize("target", [EXECUTION, WORKFLOW_RUN], ids=lambda target: target.noun)

# --- targets


@both_targets
def test_link_settings_exist(target: Target[Any]) -> None:
    """The link setting of a target is a field of the client settings."""
    assert target.link_setting in {field.name for field in dataclasses.fields(ClientSettings)}


@both_targets
@pytest.mark.parametrize("target_id", ["", "../components", "a/b", "{{ ti }}", None])
def test_ids_that_cannot_be_followed(target: Target[Any], target_id: Any) -> None:
    """An id that cannot be part of a path is refused with a message that names the argument."""
    with pytest.raises(WhiteRabbitInputError, match=target.id_name):
        target.followed(target_id)


# --- what is followed

EXECUTION_RECORD = {"id": "e-1", "status": "COMPLETED", "output": {"a": 1}, "error": None}
RUN_RECORD = {
    "id": "r-1",
    "status": "FAILED",
    "runStages": [
        {"id": "s-0", "status": "COMPLETED", "output": {"a": 1}, "error": None},
        {"id": "s-1", "status": "FAILED", "output": None, "error": "no"},
    ],
}


def sent(data: Any) -> bytes:
    """Return the bytes of an event with this data."""
    return b"data: %s\n\n" % json.dumps(data).encode()


RUN_EVENT = {
    "id": "r-1",
    "status": "EXECUTING",
    "output": {"totalUsage": 1.5, "nonTerminalStages": [{"id": "s-1", "status": "RUNNING"}]},
}


def test_a_followed_execution() -> None:
    """A followed execution has the requests of its id, and parses records, events and glances of executions."""
    followed = EXECUTION.followed("e-1")
    assert (followed.id, followed.name) == ("e-1", "Execution e-1")
    assert (followed.record_request, followed.stream_request) == (api.get_execution("e-1"), api.stream_execution("e-1"))
    assert followed.record_of(EXECUTION_RECORD) == Execution.from_dict(EXECUTION_RECORD)
    assert followed.event_of(sent(EXECUTION_RECORD)) == ExecutionEvent.from_dict(EXECUTION_RECORD)
    assert followed.glance_of({"id": "e-1", "status": "CREATED"}) == Glance("e-1", ExecutionStatus.CREATED)


def test_a_followed_workflow_run() -> None:
    """A followed workflow run has the requests of its id, and parses records and events of workflow runs."""
    followed = WORKFLOW_RUN.followed("r-1")
    assert (followed.id, followed.name) == ("r-1", "Workflow run r-1")
    assert followed.record_request == api.get_workflow_run("r-1")
    assert followed.stream_request == api.stream_workflow_run("r-1")
    assert followed.record_of(RUN_RECORD) == WorkflowRun.from_dict(RUN_RECORD)
    assert followed.event_of(sent(RUN_EVENT)) == WorkflowRunEvent.from_dict(RUN_EVENT, stage_count=2)


FOLLOWED = [(EXECUTION.followed("other"), EXECUTION_RECORD), (WORKFLOW_RUN.followed("other"), RUN_RECORD)]


@pytest.mark.parametrize(("followed", "data"), FOLLOWED, ids=["execution", "run"])
def test_answers_of_another_id(followed: Followed[Any], data: dict[str, Any]) -> None:
    """A record, a glance and an event of another id raise an error that names both ids."""
    message = f"{followed.name}: the answer belongs to another id, '{data['id']}'"
    for parse, error in (
        (followed.record_of, WhiteRabbitProtocolError),
        (followed.glance_of, WhiteRabbitProtocolError),
        (lambda data: followed.event_of(sent(data)), WhiteRabbitStreamError),
        (lambda data: followed.peek_of(sent(data)), WhiteRabbitStreamError),
    ):
        with pytest.raises(error, match=message):
            parse(data)


@both_targets
@pytest.mark.parametrize("data", [None, [], "id", 7, {}, {"status": "FAILED"}, {"message": "x", "error": "y"}])
def test_answers_of_others(target: Target[Any], data: Any) -> None:
    """JSON without an id is no record of the API, and says nothing about an execution or a run."""
    followed = target.followed("x")
    for parse in (followed.record_of, followed.glance_of):
        with pytest.raises(WhiteRabbitTransportError, match=f"^{followed.name}: the answer is JSON without an id"):
            parse(data)
    with pytest.raises(WhiteRabbitStreamError):
        followed.event_of(sent(data))


@both_targets
@pytest.mark.parametrize("data", [{"id": "x"}, {"id": 7, "status": "FAILED"}, {"id": "x", "status": "PAUSED"}])
def test_malformed_answers(target: Target[Any], data: Any) -> None:
    """A malformed record or glance raises a protocol error, and a malformed event a stream error."""
    followed = target.followed("x")
    with pytest.raises(WhiteRabbitProtocolError):
        followed.record_of(data)
    if target is EXECUTION or "PAUSED" not in str(data):  # of a run, this may be a part of the record
        with pytest.raises(WhiteRabbitProtocolError):
            followed.glance_of(data)
    with pytest.raises(WhiteRabbitStreamError):
        followed.event_of(sent({**data, "completed": True} if "PAUSED" in str(data) else data))


@both_targets
def test_a_peek_at_an_event(target: Target[Any]) -> None:
    """A peek parses id and status alone, if they come first; an unknown status is no error and no end."""
    followed = target.followed("x")
    peeked = followed.peek_of(b'data: {"id": "x", "status": "EXECUTING", "output": not parsed\n\n')
    assert peeked is not None
    assert (peeked.status, peeked.is_terminal) == (followed.statuses("EXECUTING"), False)
    assert followed.peek_of(b'data: {"output": "%s", "id": "x", "status": "EXECUTING"}\n\n' % (b"a" * 9999)) is None
    assert followed.peek_of(b'data: {"id": "x",\ndata: "status": "EXECUTING"}\n\n') is None
    unknown = followed.peek_of(b'data: {"id": "x", "status": "PAUSED"}\n\n')
    assert unknown is not None
    assert (unknown.status, unknown.is_terminal) == ("PAUSED", False)


# --- the stages of a workflow run


def test_a_glance_at_a_workflow_run() -> None:
    """A glance has id and status if the stages were not read; a record with its stages is parsed as a record."""
    followed = WORKFLOW_RUN.followed("r-1")
    glance = followed.parse_glance({"id": "r-1", "status": "EXECUTING"})
    assert isinstance(glance, Glance)
    assert glance.progress == "EXECUTING"
    assert followed.parse_event(RUN_EVENT).progress == "EXECUTING, 1.5 credits"
    assert isinstance(followed.parse_glance(RUN_RECORD), WorkflowRun)
    assert followed.parse_event(RUN_EVENT).progress == "EXECUTING, 1 of 2 stages done, 1.5 credits"


def test_runs_do_not_share_their_stage_counts() -> None:
    """The number of stages of one run does not appear in the progress of another run."""
    WORKFLOW_RUN.followed("r-1").parse_record(RUN_RECORD)
    assert "stages done" not in WORKFLOW_RUN.followed("r-2").parse_event({**RUN_EVENT, "id": "r-2"}).progress
