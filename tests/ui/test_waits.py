"""UI tests of a waiting task: its log during the wait, its output afterwards, and its link to the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from tests.ui import LINKS

if TYPE_CHECKING:
    from tests.ui.pages import TaskPage

pytestmark = pytest.mark.ui

OUTPUT = {"hash": "0x9fc76417374aa880", "amount": "1000000000000000000", "fees": [21000, 1.5], "note": "größer"}


@dataclass(frozen=True, slots=True)
class Waits:
    """The runs of the two DAGs, and the ids of the executions and the workflow run that they wait for."""

    settlement: DagRun
    settled: str
    links: DagRun
    execution: str
    workflow_run: str


@pytest.fixture(scope="module")
def waits(airflow: AirflowHome, wr: Emulator) -> Waits:
    """Start all runs at once; each test then waits for its own run."""
    settled, execution = (wr.create_execution(module="TRANSFER", manual=True) for _ in range(2))
    wr.script_workflow("payout", [{"module": "TRANSFER", "manual": True}])
    workflow_run = wr.create_run("payout")
    settlement = airflow.run("settlement", {"execution_id": settled})
    links = airflow.run("links", {"execution_id": execution, "workflow_run_id": workflow_run})
    return Waits(settlement, settled, links, execution, workflow_run)


def test_log_then_output(
    task_page: Callable[[DagRun, str], TaskPage],
    waits: Waits,
    airflow: AirflowHome,
    wr: Emulator,
    shoot: Callable[..., None],
) -> None:
    """The log shows each status while the task is deferred, and the output is an XCom after the end."""
    run, execution = waits.settlement, waits.settled
    task = run.wait_for("wait", {"deferred"}, 120)
    assert task.state == "deferred"
    page = task_page(run, "wait")
    page.open_log()
    page.wait_for_log(f"Execution {execution}: CREATED, ")
    wr.start(execution)
    page.wait_for_log(f"Execution {execution}: EXECUTING, ")
    assert run.task("wait").state == "deferred"
    shoot("log", height=480)
    until(lambda: not airflow.is_busy_with(task), "the worker to be free", 60)
    wr.complete(execution, OUTPUT)
    page.wait_for_log(f"Execution {execution}: COMPLETED, ")
    assert run.wait() == "success", airflow.explain(run)
    page.open_xcoms()
    assert page.xcom("return_value") == OUTPUT
    shoot("xcom", height=760)


@pytest.mark.parametrize("task_id", ["execution", "workflow_run"])
def test_link(
    task_page: Callable[[DagRun, str], TaskPage], waits: Waits, shoot: Callable[..., None], task_id: str
) -> None:
    """A waiting task links to its execution or workflow run if the connection has the address of the dashboard."""
    assert waits.links.wait_for(task_id, {"deferred"}, 120).state == "deferred"
    page = task_page(waits.links, task_id)
    page.open_details()
    assert page.link() == LINKS[f"{task_id}_url"].replace(f"{{{task_id}_id}}", getattr(waits, task_id))
    if task_id == "execution":
        shoot("link", height=420)


def test_no_link(task_page: Callable[[DagRun, str], TaskPage], waits: Waits) -> None:
    """A task has no link if the connection has no address of the dashboard."""
    assert waits.links.wait_for("unlinked", {"deferred"}, 120).state == "deferred"
    page = task_page(waits.links, "unlinked")
    page.open_details()
    assert page.link() is None
