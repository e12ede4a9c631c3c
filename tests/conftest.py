"""An Airflow home for the session, and what most tests share."""

from __future__ import annotations

import os
import shutil
import tempfile
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


@pytest.fixture(autouse=True)
def _database_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("airflow"):
        request.getfixturevalue("airflow_database")
