"""End-to-end tests of the workflow operator, sensor and trigger, on a real Airflow against the emulator."""

from __future__ import annotations

import re
from ast import literal_eval

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from tests.e2e import ERROR, OUTPUT
from tests.e2e.runs import OperatorRuns, module_of, wait_for_log

pytestmark = [pytest.mark.e2e]

WAYS = ("operator", "worker", "sensor")
"""Who waits for the workflow run: the deferred operator, the operator in its worker, or a deferred sensor."""


@pytest.mark.parametrize("way", WAYS)
def test_result_holds_the_stages_and_their_outputs(operator_runs: OperatorRuns, way: str) -> None:
    """The XCom is the record of the workflow run, and the next task gets it as an object."""
    run = operator_runs.ended(f"{way} completed")
    record = run.xcom("execute")
    assert run.state == "success", operator_runs.airflow.explain(run)
    assert record["status"] == "COMPLETED"
    assert [(stage["module"], stage["output"]) for stage in record["runStages"]] == [("SWAP", OUTPUT)] * 3
    kind, text = run.xcom("describe")
    assert (kind, literal_eval(text)) == ("dict", record)  # Airflow 2's API sorts the keys


@pytest.mark.parametrize("way", WAYS)
def test_failure_names_the_stage_and_the_error(operator_runs: OperatorRuns, way: str) -> None:
    """A FAILED workflow run fails the task without a retry, and the log names the stage and its error."""
    run = operator_runs.ended(f"{way} failed")
    task = run.task("execute")
    assert (task.state, task.try_number) == ("failed", 1), run.messages("execute")
    wait_for_log(run, "execute", "stage 2 (PAY) FAILED", ERROR["message"])
    assert run.task("describe").state == "upstream_failed"


@pytest.mark.parametrize("way", WAYS)
def test_cancellation_fails_with_its_reason(operator_runs: OperatorRuns, way: str) -> None:
    """A CANCELED workflow run fails the task without a retry, and the log holds the reason."""
    run = operator_runs.ended(f"{way} canceled")
    task = run.task("execute")
    assert (task.state, task.try_number) == ("failed", 1), run.messages("execute")
    wait_for_log(run, "execute", "CANCELED: stopped by treasury")


@pytest.mark.parametrize("way", WAYS)
def test_progress_is_logged(operator_runs: OperatorRuns, way: str) -> None:
    """The log of the waiting task shows how many stages are done; what changes within seconds is not logged again."""
    log = operator_runs.ended(f"{way} completed").log("execute")
    assert re.search(r"EXECUTING, [0-2] of 3 stages done", log)


@pytest.mark.parametrize("way", ["operator", "sensor"])
def test_deferrable_task_is_deferred(operator_runs: OperatorRuns, way: str) -> None:
    """A deferrable operator or sensor is deferred while the workflow run continues."""
    run = operator_runs.ended(f"{way} completed")
    assert any("DEFERRED" in message for message in run.messages("execute"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ending", ["completed", "failed", "canceled"])
def test_workflow_is_started_once(operator_runs: OperatorRuns, wr: Emulator, way: str, ending: str) -> None:
    """Each task starts its workflow exactly once, however the workflow run ends."""
    operator_runs.ended(f"{way} {ending}")
    assert len(wr.requests(kind="trigger", path=f"*/{module_of(f'{way} {ending}')}*")) == 1


@pytest.mark.parametrize("way", ["operator", "worker"])
def test_id_of_the_run_is_an_xcom(operator_runs: OperatorRuns, way: str) -> None:
    """The operator stores the id of the workflow run as XCom `workflow_run_id`, the name of the sensor's parameter."""
    run = operator_runs.ended(f"{way} completed")
    assert run.xcom("execute", "workflow_run_id") == run.xcom("execute")["id"]
