"""What the tests do with pages, whichever Airflow's they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page

from dev.harness.airflow_api import AirflowApi, DagRun

STANDARD = ("description", "host", "port", "login", "password", "schema")
"""The form's fields that all types of connections share, by their names."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field as the form shows it.

    :param kind: the input's type: ``text``, ``password``, ...
    :param help: the text below it.
    """

    label: str
    kind: str
    placeholder: str
    help: str


class Connections(ABC):
    """The pages about connections."""

    def __init__(self, page: Page, api: AirflowApi) -> None:
        self.page = page
        self.api = api
        self.url = api.url

    @abstractmethod
    def new(self, connection_id: str) -> None:
        """Open the form for a new connection of type White Rabbit."""

    @abstractmethod
    def edit(self, connection_id: str) -> None:
        """Open the form of a connection that is there."""

    @abstractmethod
    def fields(self) -> dict[str, Field]:
        """Return the fields that can be seen in the form, by their labels."""

    @abstractmethod
    def field(self, name: str) -> Locator:
        """Return a field's input, visible, by its name in the connection or in its extra."""

    @abstractmethod
    def save(self) -> None:
        """Save what the form holds, and wait until Airflow has it."""

    @abstractmethod
    def press_test(self, connection_id: str) -> tuple[bool, str]:
        """Press *Test* for what the form holds; return whether it works, and the message that is shown."""

    def test(self, connection_id: str, fields: Mapping[str, str]) -> tuple[bool, str]:
        """Have a connection tested that is new; return the same."""
        self.new(connection_id)
        self.fill(fields)
        return self.press_test(connection_id)

    def fill(self, fields: Mapping[str, str]) -> None:
        """Fill in fields by their names."""
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
        """Show the log."""

    @abstractmethod
    def open_xcoms(self) -> None:
        """Show the XComs."""

    @abstractmethod
    def open_details(self) -> None:
        """Show the details, once the links are there that belong to them."""

    @abstractmethod
    def link(self) -> str | None:
        """Return where the button *White Rabbit* of the details leads; None if it leads nowhere, or there is none."""

    def wait_for_log(self, text: str, timeout: float = 60) -> None:
        """Wait until the log that is shown holds a text, without loading the page anew.

        :param timeout: seconds.
        """
        self.page.get_by_text(text).first.wait_for(timeout=timeout * 1000)

    @abstractmethod
    def xcom(self, key: str) -> Any:
        """Return the value of an XCom, as it is shown."""
