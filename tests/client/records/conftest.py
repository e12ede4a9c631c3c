"""Fixtures for the warnings about fields of an unknown form."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from airflow_provider_whiterabbit.client.records import fields


@pytest.fixture(autouse=True)
def _forget_warned_fields() -> None:
    """Forget what was warned about, as a new process does."""
    fields.forget_warnings()


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that returns the messages of all warnings so far."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
