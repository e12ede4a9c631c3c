"""An Airflow home for the test session, and fixtures that many tests share."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Airflow reads its configuration when it is imported, so the home must be set before that.
_HOME = Path(tempfile.mkdtemp(prefix="airflow-tests-"))
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME / 'airflow.db'}",
}
# If the file exists, Airflow does not write its own configuration file with all defaults.
(_HOME / "airflow.cfg").touch()

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from airflow_provider_whiterabbit.emulator import Emulator
    from dev.harness.standins import FakeSupervisor

pytest_plugins = ["airflow_provider_whiterabbit.emulator.pytest"]


def pytest_unconfigure() -> None:
    """Remove the Airflow home at the end of the test session."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    """Let Airflow forget after each test which secrets it hides: older versions hide each x after a password x."""
    yield
    for name, module in sys.modules.copy().items():  # one step, because other threads may import
        if name.endswith(".secrets_masker") and hasattr(module, "_secrets_masker"):
            masker = module._secrets_masker()
            masker.patterns, masker.replacer = set(), None


@pytest.fixture
def whiterabbit_emulator(whiterabbit_emulator: Emulator) -> Emulator:
    """Return the emulator of the test session, reset, with the modules of the tests."""
    from dev.harness.modules import MODULES

    for module in MODULES:
        whiterabbit_emulator.component(module)
    return whiterabbit_emulator


@pytest.fixture
def emulator_connection(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Define the Airflow connection `whiterabbit_default` to the emulator."""
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def install_supervisor(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeSupervisor], None]:
    """Return a function that lets Airflow send the messages of triggers to a stand-in of the supervisor."""

    def install(supervisor: FakeSupervisor) -> None:
        from airflow.sdk.execution_time import task_runner

        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)

    return install


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Create Airflow's tables in the database of the test session."""
    from airflow.utils.db import initdb

    initdb()
    _copy(_HOME / "airflow.db", _HOME / "new.db")


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)


@pytest.fixture
def own_database(airflow_database: None, tmp_path: Path) -> dict[str, str]:
    """Return the setting of a new database: Airflow remembers DAGs, so two tests with the same DAG id need two."""
    _copy(_HOME / "new.db", tmp_path / "airflow.db")
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}"}


@pytest.fixture
def read_log(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return a function that returns what was logged since its last call: Airflow 3 prints it, Airflow 2 logs it."""
    caplog.set_level(logging.INFO)

    def read() -> str:
        text = capsys.readouterr().out + caplog.text
        caplog.clear()
        return text

    return read


@pytest.fixture(autouse=True)
def _database_where_marked(request: pytest.FixtureRequest) -> None:
    """Create Airflow's tables for tests with the mark `airflow`."""
    if request.node.get_closest_marker("airflow"):
        request.getfixturevalue("airflow_database")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Run the session's browser, which reaches this machine only: Playwright allows one at a time in a process."""
    from tests.ui.browser import chromium

    with chromium() as browser:
        yield browser
