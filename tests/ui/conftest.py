"""Fixtures of the UI tests: one Airflow, one emulator and one browser for the session, and a new page for each test."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.airflow_settings import MAJOR
from dev.harness.modules import MODULES
from tests.ui import AIRFLOW, LINKS, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.ui.browser import Answers
    from tests.ui.pages import Connections, TaskPage

# Every run of pytest imports this module, but only the UI tests have Playwright. Functions therefore import it.

SCREENSHOTS = ROOT / "docs" / "screenshots" if os.environ.get("SCREENSHOTS") and AIRFLOW.startswith("3.3.") else None
"""Folder of the documentation's screenshots; None if SCREENSHOTS is not set or if this is not Airflow 3.3."""

SIZE = (1280, 720)
"""Width and height of a page in pixels."""

_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def wr() -> Iterator[Emulator]:
    """Run the session's emulator."""
    with Emulator(components=MODULES) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def airflow(wr: Emulator) -> Iterator[AirflowHome]:
    """Run the session's Airflow, with one connection that has addresses of the dashboard and one that has none."""
    linked = wr.connection
    linked["extra"] |= LINKS
    environ = {
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(linked),
        "AIRFLOW_CONN_WHITERABBIT_UNLINKED": json.dumps(wr.connection),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__WHITERABBIT__DASHBOARD_LINKS": "True",
    }
    with AirflowHome([ROOT / "tests" / "ui" / "dags"], environ=environ) as home:
        yield home


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Return the session's windows of the browser, with access to the clipboard."""
    clipboard = ["clipboard-read", "clipboard-write"]
    context = browser.new_context(locale="en-US", timezone_id="UTC", permissions=clipboard)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """Open a new page; if the test fails, keep a screenshot and the HTML of the page."""
    page = context.new_page()
    page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
    yield page
    if request.node.stash.get(_FAILED, False):
        page.screenshot(path=tmp_path / "failed.png")
        (tmp_path / "failed.html").write_text(page.content())
        print(f"The page: {page.url}, kept in {tmp_path}/failed.png and failed.html")
    page.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record in the item's stash whether its test has failed."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture
def answers(page: Page) -> Answers:
    """Return the object that records everything the server answers to the page."""
    from tests.ui.browser import Answers

    return Answers(page)


@pytest.fixture
def connections(page: Page, airflow: AirflowHome) -> Iterator[Connections]:
    """Return the pages about connections; after the test, delete all connections."""
    if MAJOR > 2:
        from tests.ui.airflow3 import Connections
    else:
        from tests.ui.airflow2 import Connections
    yield Connections(page, airflow.api)
    for connection in airflow.api.call("GET", "/connections")["connections"]:
        airflow.api.call("DELETE", f"/connections/{connection['connection_id']}")


@pytest.fixture
def task_page(page: Page) -> Callable[[DagRun, str], TaskPage]:
    """Return a function that returns the page of a task, given its run and its id."""
    if MAJOR > 2:
        from tests.ui.airflow3 import TaskPage
    else:
        from tests.ui.airflow2 import TaskPage
    return lambda run, task_id: TaskPage(page, run, task_id)


@pytest.fixture
def shoot(page: Page, tmp_path: Path) -> Callable[..., None]:
    """Return a function that takes a screenshot, for the documentation if SCREENSHOTS is set, else in `tmp_path`."""

    def take(name: str, *, width: int = SIZE[0], height: int) -> None:
        """Save a screenshot of the page in this size, in pixels."""
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=(SCREENSHOTS or tmp_path) / f"{name}.png", animations="disabled")

    return take
