"""One Airflow, one emulator and one browser for the session; a page of its own for each test."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.airflow_settings import MAJOR
from tests.ui import AIRFLOW, LINKS, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.ui.browser import Answers
    from tests.ui.pages import Connections, TaskPage

# Playwright, which only these tests have, is imported where it is used: every run of pytest reads these modules.

SCREENSHOTS = ROOT / "docs" / "screenshots" if os.environ.get("SCREENSHOTS") and AIRFLOW.startswith("3.3.") else None
"""Where the documentation's screenshots go; None if they are not asked for, or this is another Airflow than theirs."""

SIZE = (1280, 720)

_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def wr() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def airflow(wr: Emulator) -> Iterator[AirflowHome]:
    linked = wr.connection
    linked["extra"] |= LINKS
    environ = {
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(linked),
        "AIRFLOW_CONN_WHITERABBIT_UNLINKED": json.dumps(wr.connection),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    }
    with AirflowHome([ROOT / "tests" / "ui" / "dags"], environ=environ) as home:
        yield home


@pytest.fixture(scope="session")
def context() -> Iterator[BrowserContext]:
    from tests.ui.browser import chromium

    with chromium() as browser:
        clipboard = ["clipboard-read", "clipboard-write"]
        context = browser.new_context(locale="en-US", timezone_id="UTC", permissions=clipboard)
        yield context
        context.close()


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """Open a page; keep what it showed last where the test fails."""
    page = context.new_page()
    page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
    yield page
    if request.node.stash.get(_FAILED, False):
        page.screenshot(path=tmp_path / "failed.png")
        (tmp_path / "failed.html").write_text(page.content())
        print(f"The page: {page.url}, kept in {tmp_path}/failed.png and failed.html")
    page.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture
def answers(page: Page) -> Answers:
    from tests.ui.browser import Answers

    return Answers(page)


@pytest.fixture
def connections(page: Page, airflow: AirflowHome) -> Iterator[Connections]:
    """Use the pages about connections; remove the connections that a test has made."""
    if MAJOR > 2:
        from tests.ui.airflow3 import Connections
    else:
        from tests.ui.airflow2 import Connections
    yield Connections(page, airflow.api)
    for connection in airflow.api.call("GET", "/connections")["connections"]:
        airflow.api.call("DELETE", f"/connections/{connection['connection_id']}")


@pytest.fixture
def task_page(page: Page) -> Callable[[DagRun, str], TaskPage]:
    if MAJOR > 2:
        from tests.ui.airflow3 import TaskPage
    else:
        from tests.ui.airflow2 import TaskPage
    return lambda run, task_id: TaskPage(page, run, task_id)


@pytest.fixture
def shoot(page: Page, tmp_path: Path) -> Callable[..., None]:
    """Take a screenshot: for the documentation if it is asked for, else to look at."""

    def take(name: str, *, width: int = SIZE[0], height: int) -> None:
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=(SCREENSHOTS or tmp_path) / f"{name}.png", animations="disabled")

    return take
