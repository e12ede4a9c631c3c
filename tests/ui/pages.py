"""Interfaces of the web UI's pages that the tests use; each version of Airflow has its own implementation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page

from dev.harness.airflow_api import AirflowApi, DagRun

STANDARD = ("description", "host", "port", "login", "password", "schema")
"""Names of the form's fields that all types of connections have."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the connection form, as the form shows it.

    :param kind: type of the input, for example ``text`` or ``password``.
    :param help: text below the input.
    """

    label: str
    kind: str
    placeholder: str
    help: str


class Connections(ABC):
    """The pages for connections: the list and the form."""

    def __init__(self, page: Page, api: AirflowApi) -> None:
        self.page = page
        self.api = api
        self.url = api.url

    @abstractmethod
    def new(self, connection_id: str) -> None:
        """Open the form for a new connection of type White Rabbit."""

    @abstractmethod
    def edit(self, connection_id: str) -> None:
        """Open the form of an existing connection."""

    @abstractmethod
    def fields(self) -> dict[str, Field]:
        """Return the visible fields of the form by their labels."""

    @abstractmethod
    def field(self, name: str) -> Locator:
        """Return the visible input of a field, given its name in the connection or in the connection's extra."""

    @abstractmethod
    def save(self) -> None:
        """Save the form, and wait until Airflow has stored the connection."""

    @abstractmethod
    def press_test(self, connection_id: str) -> tuple[bool, str]:
        """Test the values in the form with the button *Test*; return whether they work, and the shown message."""

    def test(self, connection_id: str, fields: Mapping[str, str]) -> tuple[bool, str]:
        """Create and test a connection with these fields; return whether it works, and the shown message."""
        self.new(connection_id)
        self.fill(fields)
        return self.press_test(connection_id)

    def fill(self, fields: Mapping[str, str]) -> None:
        """Fill in fields of the form, given by their names."""
        for name, value in fields.items():
            self.field(name).fill(value)


class TaskPage(ABC):
    """The page of a task instance."""

    def __init__(self, page: Page, run: DagRun, task_id: str) -> None:
        self.page = page
        self.url = run.api.url
        self.run = run
        self.task_id = task_id

    @abstractmethod
    def open_log(self) -> None:
        """Open the log of the task."""

    @abstractmethod
    def open_xcoms(self) -> None:
        """Open the XComs of the task."""

    @abstractmethod
    def open_details(self) -> None:
        """Open the details of the task, and wait until they show the task's links."""

    @abstractmethod
    def link(self) -> str | None:
        """Return the address of the button *White Rabbit* in the details; None without an address or a button."""

    def wait_for_log(self, text: str, timeout: float = 60) -> None:
        """Wait until the open log shows a text, without reloading the page.

        :param timeout: seconds.
        """
        self.page.get_by_text(text).first.wait_for(timeout=timeout * 1000)

    @abstractmethod
    def xcom(self, key: str) -> Any:
        """Return the value that the page shows for an XCom."""
