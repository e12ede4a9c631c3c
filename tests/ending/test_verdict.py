"""How an end at White Rabbit becomes a task's end."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun
from airflow_provider_whiterabbit.ending.verdict import check_event, result_of


def execution(status: str, **more: Any) -> Execution:
    return Execution.from_dict({"id": "e", "status": status, "output": None, "error": None, **more})


def run(status: str) -> WorkflowRun:
    return WorkflowRun.from_dict({"id": "r", "status": status, "runStages": []})


@pytest.mark.parametrize("output", [None, 0, False, "", [], {}, {"a": 1}])
def test_result_of_an_execution(output: Any) -> None:
    """The output is the result, whatever it is."""
    assert result_of(execution("COMPLETED", output=output)) == output


def test_result_of_a_run() -> None:
    """The record is the result."""
    assert result_of(run("COMPLETED")) == {"id": "r", "status": "COMPLETED", "runStages": []}


@pytest.mark.parametrize("record", [execution("FAILED", error="no funds"), run("FAILED"), run("CANCELED")], ids=str)
def test_bad_end(record: Any) -> None:
    """Whatever did not end well fails without retries, in the record's words."""
    with pytest.raises(AirflowFailException) as caught:
        result_of(record)
    assert str(caught.value) == record.failure


@pytest.mark.parametrize("record", [execution("CREATED"), execution("EXECUTING"), run("CREATED"), run("EXECUTING")])
def test_not_at_an_end(record: Any) -> None:
    """What has not ended is never a success."""
    with pytest.raises(AirflowFailException):
        result_of(record)


@pytest.mark.parametrize("id_name", ["execution_id", "workflow_run_id"])
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELED"])
def test_ended(id_name: str, status: str) -> None:
    """An event of an end passes; what a later release adds to it does not matter."""
    check_event({id_name: "e", "status": status, "message": None, "new": 1}, id_name, "e")
    check_event({id_name: "e", "status": status}, id_name, "e")


@pytest.mark.parametrize(
    ("status", "error"), [("TIMEOUT", exc.WhiteRabbitTimeoutError), ("ERROR", exc.WhiteRabbitError)]
)
def test_not_ended(status: str, error: type[Exception]) -> None:
    """A time-out and trouble are told apart, in the trigger's words."""
    with pytest.raises(error, match=r"^it took too long$") as caught:
        check_event({"execution_id": "e", "status": status, "message": "it took too long"}, "execution_id", "e")
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "event",
    [
        None,
        True,
        "success",
        ["execution_id"],
        {},
        {"status": "COMPLETED"},
        {"execution_id": "e"},
        {"execution_id": "e", "status": None},
        {"execution_id": "e", "status": "completed"},
        {"execution_id": "e", "status": "CREATED"},
        {"execution_id": "e", "status": ["COMPLETED"]},
        {"execution_id": "another", "status": "COMPLETED"},
        {"workflow_run_id": "e", "status": "COMPLETED"},
        {"execution_id": None, "status": "COMPLETED"},
    ],
    ids=repr,
)
def test_foreign_event(event: Any) -> None:
    """An event that is none of ours is never a success."""
    with pytest.raises(exc.WhiteRabbitProtocolError, match="none of ours"):
        check_event(event, "execution_id", "e")


def test_foreign_event_is_shown_in_part() -> None:
    """A huge event does not become a huge message."""
    with pytest.raises(exc.WhiteRabbitProtocolError) as caught:
        check_event({"x": "y" * 1_000_000}, "execution_id", "e")
    assert len(str(caught.value)) < 300
