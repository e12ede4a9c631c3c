"""Runs the installed browser, and records the server's answers to a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""Names of the browser's program."""

_ARGUMENTS = [
    # A page can load data only from this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-dev-shm-usage",  # containers have little of it
]

# Airflow's pages show the names of their texts until these have arrived, which takes seconds on a busy machine.
expect.set_options(timeout=30_000)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the Chromium that is on PATH.

    :raises RuntimeError: if there is none; the message says what to install.
    """
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise RuntimeError(f"Needed on PATH: {' or '.join(NAMES)} (on Debian: apt install chromium fonts-liberation)")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox does not work for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS + root)
        yield browser
        browser.close()


class Answers:
    """The texts of all documents and data that a page has received from the server, in order."""

    def __init__(self, page: Page) -> None:
        self.texts: list[str] = []
        page.on("requestfinished", self._keep)

    def _keep(self, request: Request) -> None:
        response = request.response()
        redirects = response is not None and 300 <= response.status < 400  # have no body
        if response is not None and not redirects and request.resource_type in ("document", "xhr", "fetch"):
            self.texts.append(response.text())
