"""An Airflow home for the session, and what most tests share."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

# Airflow reads its configuration when it is imported, so its home must be known before that.
_HOME = Path(tempfile.mkdtemp(prefix="airflow-tests-"))
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME / 'airflow.db'}",
}
# An existing file keeps Airflow from writing its own, with all defaults in it.
(_HOME / "airflow.cfg").touch()

pytest_plugins = ["airflow_provider_whiterabbit.emulator.pytest"]


def pytest_unconfigure() -> None:
    """Remove the home when no test can need it any more."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Create Airflow's tables in the session's database."""
    from airflow.utils.db import initdb

    initdb()
    _copy(_HOME / "airflow.db", _HOME / "new.db")


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)


@pytest.fixture
def own_database(airflow_database: None, tmp_path: Path) -> dict[str, str]:
    """Return the setting of a database of one's own, for a DAG whose name others have too: Airflow remembers DAGs."""
    _copy(_HOME / "new.db", tmp_path / "airflow.db")
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}"}


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return what tasks and triggers have logged since the last call: Airflow 3 prints it, Airflow 2 logs it."""
    caplog.set_level(logging.INFO)

    def read() -> str:
        text = capsys.readouterr().out + caplog.text
        caplog.clear()
        return text

    return read


@pytest.fixture(autouse=True)
def _database_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("airflow"):
        request.getfixturevalue("airflow_database")
