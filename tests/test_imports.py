"""DAG files are parsed over and over: what they import must stay light, and layers must stay apart."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_whiterabbit

PACKAGE = Path(airflow_provider_whiterabbit.__file__).parent

HEAVY = ("requests", "aiohttp", "sseclient", "starlette", "uvicorn", "quickjs", "rfc8785")

MODULES = (
    "assets",
    "links",
    "operators.callbacks",
    "operators.component",
    "operators.workflow",
    "sensors.execution",
    "sensors.workflow",
    "triggers.execution",
    "triggers.workflow",
    "hooks.whiterabbit",
)

# Airflow's base classes are imported once, and what each of ours adds to them in a child of its own.
_ADDED = """
import importlib, os, sys
import airflow.triggers.base
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator
before = set(sys.modules)
for name in sys.argv[1:]:
    if os.fork():
        assert os.wait()[1] == 0
    else:
        importlib.import_module(f"airflow_provider_whiterabbit.{name}")
        print(name, *sorted({name.partition(".")[0] for name in set(sys.modules) - before}), flush=True)
        os._exit(0)
"""


@pytest.fixture(scope="module")
def added() -> dict[str, set[str]]:
    """Return the packages that importing each of the modules adds to Airflow's base classes."""
    command = [sys.executable, "-W", "ignore", "-c", _ADDED, *MODULES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: set(packages) for name, *packages in lines}


@pytest.mark.parametrize("module", MODULES)
def test_parse_light(module: str, added: dict[str, set[str]]) -> None:
    """Importing what a DAG file names adds nothing of the transports and of the emulator to Airflow's base classes."""
    assert "airflow_provider_whiterabbit" in added[module]
    assert not added[module] & set(HEAVY)


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def test_client_knows_no_airflow() -> None:
    """The protocol can be used, and tested, without Airflow."""
    for path in (PACKAGE / "client").glob("*.py"):
        assert not [name for name in imports_of(path) if name.split(".")[0] == "airflow"], path


def test_emulator_shares_nothing_that_it_checks() -> None:
    """A mistake that both sides shared would pass every test."""
    ours = "airflow_provider_whiterabbit."
    allowed = (f"{ours}emulator", f"{ours}client.models")
    for path in (PACKAGE / "emulator").rglob("*.py"):
        shared = [name for name in imports_of(path) if name.startswith(ours)]
        assert not [name for name in shared if not name.startswith(allowed) and name != f"{ours}client"], path


@pytest.mark.parametrize(
    ("transport", "modules"),
    [("requests", {"sync", "connections"}), ("aiohttp", {"aio", "sessions", "stream"}), ("urllib3", {"connections"})],
)
def test_transports_are_imported_in_one_place(transport: str, modules: set[str]) -> None:
    """Everything else in the client is pure."""
    found = {
        path.stem
        for path in (PACKAGE / "client").glob("*.py")
        if transport in {n.split(".")[0] for n in imports_of(path)}
    }
    assert found == modules
