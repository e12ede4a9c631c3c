"""The messages about executions and workflow runs that did not complete: fit for logs, and bounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun
from airflow_provider_whiterabbit.client.text import MAX_LENGTH, clean
from tests.client.properties import examples

HOSTILE = "half \ud83d, nothing \0"
READABLE = "half \ufffd, nothing \ufffd"
LONG = "x" * 100_000
TEXTS = st.text(st.characters(), max_size=30) | st.just(HOSTILE) | st.just(LONG)
ERRORS = st.none() | TEXTS | st.dictionaries(TEXTS, TEXTS, max_size=3)


def failed_execution(error: Any, module: str = "PAY") -> Execution:
    """Return the record of a failed execution."""
    return Execution.from_dict({"id": "e", "module": module, "status": "FAILED", "output": None, "error": error})


def run(status: str, *errors: Any, **fields: Any) -> WorkflowRun:
    """Return a workflow run with a failed stage for each error."""
    stages = [
        {"id": f"s{index}", "status": "FAILED", "module": "PAY", "error": error} for index, error in enumerate(errors)
    ]
    return WorkflowRun.from_dict({"id": "r", "status": status, "runStages": stages, **fields})


@pytest.mark.parametrize("error", [HOSTILE, {"message": HOSTILE}])
def test_hostile_texts(error: Any) -> None:
    """Lone surrogates and control characters in errors, modules and reasons become U+FFFD."""
    assert failed_execution(error, "P\0Y").failure == f"Execution e (P\ufffdY) FAILED: {READABLE}"
    message = run("CANCELED", error, cancelReason=HOSTILE).failure
    assert message == f"Workflow run r CANCELED: {READABLE}; stage 1 (PAY) FAILED: {READABLE}"


@examples(300)
@given(
    error=ERRORS, module=TEXTS, reason=TEXTS, count=st.integers(0, 12), status=st.sampled_from(["FAILED", "CANCELED"])
)
def test_every_message_is_fit_and_bounded(error: Any, module: str, reason: str, count: int, status: str) -> None:
    """No message is longer than the bound or holds a character that is not fit, whatever the API sends."""
    stages = [{"id": module or "s", "status": "FAILED", "module": module, "error": error}] * count
    workflow_run = WorkflowRun.from_dict({"id": "r", "status": status, "runStages": stages, "cancelReason": reason})
    for message in (failed_execution(error, module).failure, workflow_run.failure):
        assert message == clean(message)
        assert len(message) <= MAX_LENGTH


def test_long_errors() -> None:
    """The beginning of a long error is shown, with its length; a stage alone has room for most of a message."""
    for message in (failed_execution(LONG).failure, run("FAILED", LONG).failure):
        assert 1_000 < len(message) <= MAX_LENGTH
        assert message.endswith("x… (100000 characters)")


def test_many_failed_stages() -> None:
    """Of five thousand failed stages the first five are shown, each with its part of the room."""
    message = run("CANCELED", *[f"{number} {LONG}" for number in range(5_000)], cancelReason=LONG).failure
    assert len(message) <= MAX_LENGTH
    assert message.startswith("Workflow run r CANCELED: xxx")
    for number in range(5):
        assert f"; stage {number + 1} (PAY) FAILED: {number} xxx" in message
    assert "stage 6" not in message
    assert message.endswith(" characters); and 4,995 more")


def test_five_failed_stages() -> None:
    """Five failed stages are all shown, without a note about more."""
    assert run("FAILED", 1, 2, 3, 4, 5).failure.endswith("stage 5 (PAY) FAILED: 5")


def test_deep_errors() -> None:
    """An error that is nested too deeply for JSON is named, and raises nothing."""
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    assert failed_execution(deep).failure.endswith("FAILED: an error that is nested too deeply to be shown")


@pytest.mark.parametrize("credits_", [float("nan"), float("inf"), 10**400])
def test_impossible_credits(credits_: float) -> None:
    """A number of credits that no database stores is unknown, like other fields of an unknown form."""
    record = {"id": "e", "status": "COMPLETED", "output": 1, "error": None, "totalUsage": credits_}
    assert Execution.from_dict(record).total_usage is None
