"""The pages of Airflow 3.3's web UI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, expect

from dev.harness.airflow_api import DagRun
from dev.harness.polling import until
from tests.ui import pages

SECTIONS = ("Standard Fields", "Extra Fields")
"""Sections of the form; only one section is open at a time."""

_FIELDS = """roots => roots.filter(root => root.checkVisibility()).map(root => {
    const input = root.querySelector('input, textarea')
    const help = root.querySelector('[data-part=helper-text]')
    return {
        label: root.querySelector('label').firstChild.textContent.trim(), kind: input.type,
        placeholder: input.placeholder, help: help ? help.innerText : ''
    }
})"""


class Connections(pages.Connections):
    """The list of connections and the dialog with the form; the button *Test* tests the saved values."""

    @property
    def _form(self) -> Locator:
        """The dialog with the form of a connection."""
        return self.page.get_by_role("dialog")

    def _row(self, connection_id: str) -> Locator:
        """Return the connection's row in the list."""
        cell = self.page.get_by_role("cell", name=connection_id, exact=True)
        return self.page.get_by_role("row").filter(has=cell)

    def new(self, connection_id: str) -> None:
        self.page.goto(f"{self.url}/connections")
        self.page.get_by_role("button", name="Add Connection").click()
        self._form.get_by_label("Connection ID").fill(connection_id)
        self._form.get_by_role("combobox", name="Connection Type").fill("White Rabbit")
        self.page.get_by_role("option", name="White Rabbit", exact=True).click()
        self.field("host").wait_for()

    def edit(self, connection_id: str) -> None:
        self.page.goto(f"{self.url}/connections")
        self._row(connection_id).get_by_role("button", name="Edit Connection").click()
        self.field("host").wait_for()

    def fields(self) -> dict[str, pages.Field]:
        fields = []
        for section in SECTIONS:
            self._open(section)
            fields += self._form.locator("[data-scope=field][data-part=root]").evaluate_all(_FIELDS)
        return {field["label"]: pages.Field(**field) for field in fields}

    def field(self, name: str) -> Locator:
        self._open(SECTIONS[name not in pages.STANDARD])
        return self._form.locator(f"[name={name}], [name=element_{name}]")

    def _open(self, section: str) -> None:
        """Open a section of the form."""
        button = self._form.get_by_role("button", name=section, exact=True)
        if button.get_attribute("aria-expanded") != "true":
            button.click()
        expect(button).to_have_attribute("aria-expanded", "true")

    def save(self) -> None:
        self._form.get_by_role("button", name="Save").click()
        self._form.wait_for(state="hidden")

    def press_test(self, connection_id: str) -> tuple[bool, str]:
        self.save()
        return self._press_test(connection_id)

    def test(self, connection_id: str, fields: Mapping[str, str]) -> tuple[bool, str]:
        # The API stores the connection, because the form is slow.
        url = urlsplit(fields["host"])
        columns = {"connection_id": connection_id, "conn_type": "whiterabbit", "password": fields["password"]}
        columns |= {"host": fields["host"].removesuffix(f":{url.port}"), "port": url.port or 443}
        extra = {name: value for name, value in fields.items() if name not in pages.STANDARD}
        self.api.call("POST", "/connections", columns | {"extra": json.dumps(extra)})
        self.page.goto(f"{self.url}/connections")
        return self._press_test(connection_id)

    def _press_test(self, connection_id: str) -> tuple[bool, str]:
        """Press *Test* in the connection's row of the list; return what `press_test` returns."""
        self._row(connection_id).get_by_role("button", name="Test Connection").click()
        notification = self.page.get_by_role("status").filter(has_text="Test Connection")
        notification.wait_for()
        title, _, message = notification.inner_text().partition("\n")
        return {"Test Connection Successful": True, "Test Connection Failed": False}[title], message


class TaskPage(pages.TaskPage):
    """The page of a task instance, with tabs."""

    def _open(self, *tabs: str) -> None:
        """Load the page of the task, and open tabs of it."""
        path = f"{self.run.dag_id}/runs/{self.run.run_id}/tasks/{self.task_id}"
        self.page.goto(f"{self.url}/dags/{path}")
        for tab in tabs:
            self.page.get_by_role("link", name=tab, exact=True).click()

    def open_log(self) -> None:
        self._open()

    def open_xcoms(self) -> None:
        self._open("Storage", "XCom")
        self.page.get_by_role("button", name="Expand all extra JSON").click()

    def open_details(self) -> None:
        self._open("Details")
        self.page.get_by_role("heading", name="Extra Links").wait_for()

    def link(self) -> str | None:
        link = self.page.get_by_role("link", name="White Rabbit", exact=True)
        return link.get_attribute("href") if link.count() else None

    def xcom(self, key: str) -> Any:
        row = self.page.get_by_role("row").filter(has=self.page.get_by_role("cell", name=key, exact=True))
        (value,) = until(lambda: _parsed(row.locator(".view-lines").inner_text()), f"the JSON of {key} to unfold", 30)
        return value


def _parsed(text: str) -> tuple[Any] | None:
    """Return the value of the JSON text in an editor, or None while parts of the text are folded."""
    try:
        return (json.loads(text.replace("\xa0", " ")),)
    except ValueError:
        return None


class QuestionPage:
    """The page of a task instance with the question that the task waits for: *Required Actions*."""

    def __init__(self, page: Page, run: DagRun, task_id: str, map_index: int = -1) -> None:
        self.page = page
        task = task_id if map_index < 0 else f"{task_id}/mapped/{map_index}"
        self._url = f"{run.api.url}/dags/{run.dag_id}/runs/{run.run_id}/tasks/{task}"

    def open(self) -> str:
        """Open the page, and return its text; an open page does not notice that a task asks again."""
        self.page.goto(f"{self._url}/required_actions")
        expect(self._option("Stop")).to_be_enabled()
        return self.page.locator("body").inner_text()

    def open_log(self) -> None:
        """Open the log of the task instance."""
        self.page.goto(self._url)

    def answer(self, option: str, **fields: str) -> None:
        """Fill in these fields of the open page, choose an option, and wait until Airflow has stored the answer."""
        for name, value in fields.items():
            self.page.locator(f"[name=element_{name}]").fill(value)
        with self.page.expect_response("**/hitlDetails") as response:
            self._option(option).click()
        assert response.value.ok, response.value.text()

    def _option(self, option: str) -> Locator:
        return self.page.get_by_role("button", name=option, exact=True)
