"""How the end of an execution or workflow run becomes the end of a task."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, WORKFLOW_RUN, Target
from airflow_provider_whiterabbit.compat import AirflowException, AirflowFailException
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.ending.verdict import ended_id, result_of
from dev.harness.standins import FakeAirflow
from tests.operators.remotes import component_operator


def execution(status: str, **more: Any) -> Execution:
    """Return the record of an execution."""
    return Execution.from_dict({"id": "e", "status": status, "output": None, "error": None, **more})


def run(status: str) -> WorkflowRun:
    """Return the record of a workflow run without stages."""
    return WorkflowRun.from_dict({"id": "r", "status": status, "runStages": []})


@pytest.mark.parametrize("output", [None, 0, False, "", [], {}, {"a": 1}])
def test_result_of_an_execution(output: Any) -> None:
    """The result of a completed execution is its output, also if the output is falsy."""
    assert result_of(execution("COMPLETED", output=output)) == output


def test_result_of_a_run() -> None:
    """The result of a completed workflow run is its record."""
    assert result_of(run("COMPLETED")) == {"id": "r", "status": "COMPLETED", "runStages": []}


@pytest.mark.parametrize("record", [execution("FAILED", error="no funds"), run("FAILED"), run("CANCELED")], ids=str)
def test_failed_or_canceled(record: Any) -> None:
    """An execution or run that did not complete fails the task without retries, with the record's message."""
    with pytest.raises(AirflowFailException) as caught:
        result_of(record)
    assert str(caught.value) == record.failure


@pytest.mark.parametrize("record", [execution("CREATED"), execution("EXECUTING"), run("CREATED"), run("EXECUTING")])
def test_still_running(record: Any) -> None:
    """An execution or run that has not ended never counts as a success."""
    with pytest.raises(AirflowFailException):
        result_of(record)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (EXECUTION, "COMPLETED"),
        (EXECUTION, "FAILED"),
        (EXECUTION, "CANCELED"),
        (WORKFLOW_RUN, "COMPLETED"),
        (WORKFLOW_RUN, "FAILED"),
        (WORKFLOW_RUN, "CANCELED"),
    ],
)
def test_end_event(target: Target[Any], status: str) -> None:
    """The event of an end gives the id; fields that a later release may add are ignored."""
    assert ended_id({target.id_name: "e", "status": status, "message": None, "new": 1}, target, "e") == "e"
    assert ended_id({target.id_name: "e", "status": status}, target, "e") == "e"
    assert ended_id({target.id_name: "e", "status": status}, target, None) == "e"


@pytest.mark.parametrize(
    ("status", "error"), [("TIMEOUT", exc.WhiteRabbitTimeoutError), ("ERROR", exc.WhiteRabbitError)]
)
def test_event_without_an_end(status: str, error: type[Exception]) -> None:
    """An event of a time-out and one of an error raise different exceptions, with the trigger's message."""
    with pytest.raises(error, match=r"^it took too long$") as caught:
        ended_id({"execution_id": "e", "status": status, "message": "it took too long"}, EXECUTION, "e")
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
        {"execution_id": "e", "status": "CANCELLED"},
        {"execution_id": "e", "status": ["COMPLETED"]},
        {"execution_id": "another", "status": "COMPLETED"},
        {"workflow_run_id": "e", "status": "COMPLETED"},
        {"execution_id": None, "status": "COMPLETED"},
    ],
    ids=repr,
)
def test_unknown_event(event: Any) -> None:
    """An event that this provider does not know raises an error."""
    with pytest.raises(exc.WhiteRabbitProtocolError, match="does not know"):
        ended_id(event, EXECUTION, "e")


def test_huge_unknown_event() -> None:
    """The message about an unknown event shows at most a part of the event."""
    with pytest.raises(exc.WhiteRabbitProtocolError) as caught:
        ended_id({"x": "y" * 1_000_000}, EXECUTION, "e")
    assert len(str(caught.value)) < 300


@pytest.mark.usefixtures("emulator_connection")
@pytest.mark.parametrize(
    "arguments", [{}, {"deferrable": True, "inline_wait": 15}, {"on_failed_execution": "resubmit"}]
)
def test_secrets_in_errors(whiterabbit_emulator: Emulator, arguments: dict[str, Any]) -> None:
    """White Rabbit's error may repeat a secret, and the text of an exception goes further than Airflow's logs."""
    key = whiterabbit_emulator.connection["extra"]["api_key"]
    whiterabbit_emulator.script("PAY", error={"message": f"the key {key} is not allowed"})
    operator = component_operator(**arguments)
    with pytest.raises(AirflowException, match=r"FAILED: the key \*\*\* is not allowed"):
        FakeAirflow().run(operator)
    assert key not in str(operator._lineage_facts())
