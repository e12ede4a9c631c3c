"""The pages of Airflow 2.11's web UI."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Locator

from tests.ui import pages

_FIELDS = """rows => rows.filter(row => row.checkVisibility() && row.querySelector('label')).map(row => {
    const input = row.querySelector('input, textarea, select'), help = row.querySelector('.help-block')
    return {
        label: row.querySelector('label').firstChild.textContent.trim(), kind: input.type,
        placeholder: input.placeholder || '', help: help.innerText
    }
})"""


class Connections(pages.Connections):
    """The list and the form of connections; the button *Test* tests the values in the form."""

    @property
    def _form(self) -> Locator:
        """The form of a connection."""
        return self.page.locator("#model_form")

    def new(self, connection_id: str) -> None:
        self.page.goto(f"{self.url}/connection/add")
        self._form.get_by_label("Connection Id").fill(connection_id)
        self.page.select_option("#conn_type", label="White Rabbit", force=True)  # a widget hides the element
        self._form.get_by_label("Base URL").wait_for()

    def edit(self, connection_id: str) -> None:
        self.page.goto(f"{self.url}/connection/list/")
        cell = self.page.get_by_role("cell", name=connection_id, exact=True)
        self.page.get_by_role("row").filter(has=cell).get_by_role("link", name="Edit").click()
        self._form.get_by_label("Base URL").wait_for()

    def fields(self) -> dict[str, pages.Field]:
        fields = self._form.locator("tr").evaluate_all(_FIELDS)
        return {field["label"]: pages.Field(**field) for field in fields}

    def field(self, name: str) -> Locator:
        return self._form.locator(f"[name={name}], [name=extra__whiterabbit__{name}]")

    def save(self) -> None:
        self._form.get_by_role("button", name="Save").click()
        self.page.locator(".alert-success").filter(has_text=re.compile("(Added|Changed) Row")).wait_for()

    def press_test(self, connection_id: str) -> tuple[bool, str]:
        with self.page.expect_response("**/connections/test") as response:
            self._form.get_by_role("button", name="Test").click()
        result = response.value.json()
        # The box is green for success and failure alike; only its message differs.
        self.page.locator(".alert-success").get_by_text(result["message"]).wait_for()
        return result["status"], result["message"]


class TaskPage(pages.TaskPage):
    """The tabs of a task instance in the grid view."""

    def _open(self, tab: str) -> None:
        """Load the page with this tab of the task."""
        path = f"{self.run.dag_id}/grid?dag_run_id={self.run.run_id}&task_id={self.task_id}&tab={tab}"
        self.page.goto(f"{self.url}/dags/{path}")

    def open_log(self) -> None:
        self._open("logs")

    def open_xcoms(self) -> None:
        self._open("xcom")

    def open_details(self) -> None:
        self._open("details")
        self.page.get_by_text("Extra Links", exact=True).wait_for()

    def link(self) -> str | None:
        # If there is no address, the button exists without a target.
        link = self.page.get_by_role("link", name="White Rabbit", exact=True)
        return link.get_attribute("href") or None

    def xcom(self, key: str) -> Any:
        row = self.page.get_by_role("row").filter(has=self.page.get_by_role("cell", name=key, exact=True))
        row.get_by_role("button", name="Copy").click()
        return json.loads(self.page.evaluate("navigator.clipboard.readText()"))
