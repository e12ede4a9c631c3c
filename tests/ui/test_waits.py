"""A wait: its log while it goes on, its output afterwards, and the way from the task to White Rabbit's dashboard."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun, until
from dev.harness.airflow_home import AirflowHome
from tests.ui import LINKS

pytestmark = pytest.mark.ui

OUTPUT = {"hash": "0x9fc76417374aa880", "amount": "1000000000000000000", "fees": [21000, 1.5], "note": "größer"}


@dataclass(frozen=True, slots=True)
class Waits:
    """Runs of the DAGs, and the ids of what they wait for."""

    settlement: DagRun
    settled: str
    links: DagRun
    execution: str
    workflow_run: str


@pytest.fixture(scope="module")
def waits(airflow: AirflowHome, wr: Emulator) -> Waits:
    """All start at once; each test waits for its own."""
    settled, execution = (wr.create_execution(module="TRANSFER", manual=True) for _ in range(2))
    wr.script_workflow("payout", [{"module": "TRANSFER", "manual": True}])
    workflow_run = wr.create_run("payout")
    settlement = airflow.run("settlement", {"execution_id": settled})
    links = airflow.run("links", {"execution_id": execution, "workflow_run_id": workflow_run})
    return Waits(settlement, settled, links, execution, workflow_run)


def test_log_then_output(task_page, waits: Waits, airflow: AirflowHome, wr: Emulator, shoot) -> None:
    """The log follows the status while the task is deferred; once it has ended, the output is an XCom."""
    run, execution = waits.settlement, waits.settled
    task = run.wait_for("wait", {"deferred"}, 120)
    assert task.state == "deferred"
    page = task_page(run, "wait")
    page.open_log()
    page.wait_for_log(f"Execution {execution}: CREATED after")
    wr.start(execution)
    page.wait_for_log(f"Execution {execution}: EXECUTING after")
    assert run.task("wait").state == "deferred"
    shoot("log", height=480)
    until(lambda: not airflow.is_busy_with(task), "the worker to be free", 60)
    wr.complete(execution, OUTPUT)
    page.wait_for_log(f"Execution {execution}: COMPLETED after")
    assert run.wait() == "success", airflow.explain(run)
    page.open_xcoms()
    assert page.xcom("return_value") == OUTPUT
    shoot("xcom", height=640)


@pytest.mark.parametrize("task_id", ["execution", "workflow_run"])
def test_link(task_page, waits: Waits, shoot, task_id: str) -> None:
    """Already while it waits, a task leads to what it waits for, where the connection has the address."""
    assert waits.links.wait_for(task_id, {"deferred"}, 120).state == "deferred"
    page = task_page(waits.links, task_id)
    page.open_details()
    assert page.link() == LINKS[f"{task_id}_url"].replace(f"{{{task_id}_id}}", getattr(waits, task_id))
    if task_id == "execution":
        shoot("link", height=420)


def test_no_link(task_page, waits: Waits) -> None:
    """Where the connection has no address, no button leads anywhere."""
    assert waits.links.wait_for("unlinked", {"deferred"}, 120).state == "deferred"
    page = task_page(waits.links, "unlinked")
    page.open_details()
    assert page.link() is None
