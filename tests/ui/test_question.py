"""UI tests of `on_doubt="ask"`: a person reads under *Required Actions* what is not known, and answers there."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from tests.versions import needs_store

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.ui.airflow3 import QuestionPage

pytestmark = [pytest.mark.ui, needs_store]

TASKS = {"TRANSFER": ("pay", -1), "PAYOUT": ("pay_all", 0), "REFUND": ("pay_all", 1)}
"""Id and map index of the task that submits each module."""


@pytest.fixture(scope="module")
def doubts(airflow: AirflowHome, wr: Emulator) -> DagRun:
    """Start a run in which no task learns whether its submission arrived, and wait until each task asks."""
    receipts = itertools.count(1)
    for module in TASKS:
        wr.script(module, output=lambda _input, _config: {"receipt": next(receipts)})
    wr.fault(effects.Reset("answer"), kind="submit", times=len(TASKS))
    run = airflow.run("doubts")
    for module in TASKS:
        wait_for_question(airflow, run, module)
    return run


def wait_for_question(airflow: AirflowHome, run: DagRun, module: str) -> None:
    """Wait until the task that submits a module asks, and its worker process has exited."""
    task_id, map_index = TASKS[module]
    task = run.wait_for(task_id, {"awaiting_input"}, 120, map_index)
    assert task.state == "awaiting_input", run.messages(task_id, map_index)
    until(lambda: not airflow.is_busy_with(task), "the worker to be free", 60)


@pytest.fixture
def question(page: Page, doubts: DagRun) -> Callable[[str], QuestionPage]:
    """Return a function that returns the page with the question of the task that submits a module."""
    from tests.ui.airflow3 import QuestionPage

    return lambda module: QuestionPage(page, doubts, *TASKS[module])


def executions(wr: Emulator, module: str) -> list[dict[str, Any]]:
    """Return the records of a module's executions, oldest first."""
    return [record for record in wr.executions if record["module"] == module]


def check_success(run: DagRun, module: str, execution: dict[str, Any]) -> None:
    """Check that the task that submits a module succeeds with the output of an execution."""
    task_id, map_index = TASKS[module]
    assert run.wait_for(task_id, {}, map_index=map_index).state == "success", run.messages(task_id, map_index)
    assert run.xcom(task_id, map_index=map_index) == execution["output"]
    assert run.xcom(task_id, "execution_id", map_index) == execution["id"]


def test_right_id_after_wrong_ids(
    question: Callable[[str], QuestionPage],
    doubts: DagRun,
    airflow: AirflowHome,
    wr: Emulator,
    shoot: Callable[..., None],
) -> None:
    """The task asks again after an unknown id and after another module's id, and succeeds after the right id."""
    (execution,), (other,) = executions(wr, "TRANSFER"), executions(wr, "PAYOUT")
    page = question("TRANSFER")
    text = page.open()
    assert "It is not known whether White Rabbit received the submission of component TRANSFER" in text
    for known in ("whiterabbit_default", execution["createdAt"][:13], "0x9fc76417374aa880", "125.00"):
        assert known in text
    shoot("question", height=1000)
    wrong_ids = {
        str(uuid.uuid4()): "White Rabbit does not know this id",
        other["id"]: "the module 'PAYOUT', not TRANSFER",
    }
    for wrong_id, reason in wrong_ids.items():
        page.answer("It is there", execution_id=wrong_id)
        wait_for_question(airflow, doubts, "TRANSFER")
        page.open_log()
        page.page.get_by_text(reason).first.wait_for()
        page.open()
    page.answer("It is there", execution_id=f" {execution['id']} ")
    check_success(doubts, "TRANSFER", execution)
    assert executions(wr, "TRANSFER") == [execution]


def test_mapped(question: Callable[[str], QuestionPage], doubts: DagRun, wr: Emulator) -> None:
    """Each mapped task has a question of its own: one answer submits anew, the other names the execution."""
    (payout,), (refund,) = executions(wr, "PAYOUT"), executions(wr, "REFUND")
    page = question("PAYOUT")
    assert "component PAYOUT" in page.open()
    page.answer("Submit now")
    page = question("REFUND")
    assert "component REFUND" in page.open()
    page.answer("It is there", execution_id=refund["id"])
    check_success(doubts, "REFUND", refund)
    assert executions(wr, "REFUND") == [refund]
    first, second = until(lambda: executions(wr, "PAYOUT")[1:] and executions(wr, "PAYOUT"), "a second payout", 60)
    assert first == payout
    check_success(doubts, "PAYOUT", second)
