"""A browser without a network shows every page of the site and searches it, from a server, and from the file system."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.site import SITE
from tests.ui import AIRFLOW

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

assert SITE is not None
pytestmark = [
    pytest.mark.ui,
    pytest.mark.skipif(not AIRFLOW.startswith("3.3."), reason="the site is the same beside each Airflow"),
]

DESK = {"width": 1280, "height": 900}


class Silent(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Serve the site on this machine, and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run the browser, which reaches this machine only."""
    from tests.ui.browser import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture(params=["file", "http"])
def address(request: pytest.FixtureRequest, served: str) -> str:
    """Return the address of the site, without a slash at its end."""
    return served if request.param == "http" else f"file://{SITE}"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page in a browser of its own."""
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    yield context.new_page()
    context.close()


class Elsewhere:
    """What a page loads from another place than the site, what it fails to load, and the errors of its scripts."""

    def __init__(self, page: Page, address: str) -> None:
        self.found: list[str] = []
        self._address = address
        page.on("request", self._note)
        page.on("requestfailed", lambda request: self.found.append(f"failed: {request.url}"))
        page.on("pageerror", lambda error: self.found.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.found.append(message.text))

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self._address, "data:", "about:", "blob:")):
            self.found.append(request.url)


def test_every_page(page: Page, address: str) -> None:
    """Each page loads everything from the site, without an error, and shows a title and the search."""
    elsewhere = Elsewhere(page, address)
    for path in sorted(SITE.rglob("*.html")):
        if path.name == "404.html" and address.startswith("file"):
            continue  # only a server shows it
        page.goto(f"{address}/{path.relative_to(SITE)}")
        page.locator("article h1").first.wait_for()
        assert page.locator(".md-search__input").is_visible()
        assert elsewhere.found == [], path


def test_search(page: Page, address: str) -> None:
    """The search finds the page that explains a message, from the top and from below."""
    elsewhere = Elsewhere(page, address)
    for start in ("index", "reference/operators"):
        page.goto(f"{address}/{start}.html")
        page.locator(".md-search__input").click()
        page.locator(".md-search__input").press_sequentially("does not hold an unencrypted private key")
        found = page.locator('.md-search-result__link[href*="troubleshooting.html"]').first
        found.wait_for()
    found.click()
    page.wait_for_url("**/troubleshooting.html**")
    assert elsewhere.found == []


def test_neighbours(page: Page, address: str) -> None:
    """The link at the end of a page leads to the next page, and the one beside it back; no menu covers them."""
    page.goto(f"{address}/index.html")
    page.locator(".md-footer__link--next").click()
    page.wait_for_url("**/tutorial.html")
    page.locator(".md-footer__link--prev").click()
    page.wait_for_url("**/index.html")
