"""Workflow operator, sensor and trigger in a real Airflow, against the emulator."""

from __future__ import annotations

from ast import literal_eval

import pytest

from tests.e2e import ERROR, OUTPUT
from tests.e2e.operated import module_of

pytestmark = pytest.mark.e2e

HOW = ("operator", "worker", "sensor")


@pytest.mark.parametrize("how", HOW)
def test_result_holds_the_stages_and_their_outputs(operated, how):
    """The record of the run is the XCom, an object also to the next task."""
    run = operated.ended(f"{how} completed")
    record = run.xcom("execute")
    assert run.state == "success", operated.airflow.explain(run)
    assert record["status"] == "COMPLETED"
    assert [(stage["module"], stage["output"]) for stage in record["runStages"]] == [("SWAP", OUTPUT)] * 3
    kind, text = run.xcom("describe")
    assert (kind, literal_eval(text)) == ("dict", record)  # Airflow 2's API sorts the keys


@pytest.mark.parametrize("how", HOW)
def test_failure_names_the_stage_and_why(operated, how):
    """Without a retry, which would only find the same failure."""
    run = operated.ended(f"{how} failed")
    task = run.task("execute")
    assert (task.state, task.try_number) == ("failed", 1), run.messages("execute")
    assert "stage 2 (PAY) FAILED" in run.log("execute")
    assert ERROR["message"] in run.log("execute")
    assert run.task("describe").state == "upstream_failed"


@pytest.mark.parametrize("how", HOW)
def test_cancellation_fails_with_its_reason(operated, how):
    """A run that was canceled has no result, whoever canceled it."""
    run = operated.ended(f"{how} canceled")
    task = run.task("execute")
    assert (task.state, task.try_number) == ("failed", 1), run.messages("execute")
    assert "CANCELED: stopped by treasury" in run.log("execute")


@pytest.mark.parametrize("how", HOW)
def test_progress_is_logged(operated, how):
    """Whoever reads the log while it waits sees how far it got."""
    log = operated.ended(f"{how} completed").log("execute")
    assert "1 of 3 stages done" in log
    assert "2 of 3 stages done" in log


@pytest.mark.parametrize(("how", "waits"), [("operator", "execute"), ("sensor", "execute")])
def test_deferred_wait_is_that_of_the_workflow_trigger(operated, how, waits):
    """The worker is free while the run goes on."""
    assert any("DEFERRED" in message for message in operated.ended(f"{how} completed").messages(waits))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("ending", ["completed", "failed", "canceled"])
def test_workflow_is_started_once(operated, wr, how, ending):
    """However it ends."""
    operated.ended(f"{how} {ending}")
    assert len(wr.requests(kind="trigger", path=f"*/{module_of(f'{how} {ending}')}*")) == 1


@pytest.mark.parametrize("how", ["operator", "worker"])
def test_id_of_the_run_is_an_xcom(operated, how):
    """It is beside the result, under the name that the sensor's parameter has."""
    run = operated.ended(f"{how} completed")
    assert run.xcom("execute", "workflow_run_id") == run.xcom("execute")["id"]
