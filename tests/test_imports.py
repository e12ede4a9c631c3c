"""Airflow parses DAG files over and over, so the modules that DAG files import must import little."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_whiterabbit

PACKAGE = Path(airflow_provider_whiterabbit.__file__).parent

HEAVY = ("requests", "aiohttp", "sseclient", "starlette", "uvicorn", "quickjs", "rfc8785", "openlineage")

MODULES = (
    "assets",
    "decorators.component",
    "links",
    "operators.callbacks",
    "operators.component",
    "operators.components",
    "operators.typed",
    "operators.workflow",
    "secrets",
    "sensors.execution",
    "sensors.executions",
    "sensors.workflow",
    "triggers.execution",
    "triggers.executions",
    "triggers.workflow",
    "hooks.whiterabbit",
)

# The script imports Airflow's base classes once. Then a child process imports each module and prints what it added.
_SCRIPT = """
import importlib, os, sys
import airflow.triggers.base
try:
    from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator
except ImportError:  # Airflow 2
    import airflow.hooks.base, airflow.models.baseoperator, airflow.sensors.base
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
def added_packages() -> dict[str, set[str]]:
    """Return the packages that each module imports beyond those of Airflow's base classes."""
    command = [sys.executable, "-W", "ignore", "-c", _SCRIPT, *MODULES]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split() for line in process.stdout.splitlines()]
    return {name: set(packages) for name, *packages in lines}


@pytest.mark.parametrize("module", MODULES)
def test_parse_light(module: str, added_packages: dict[str, set[str]]) -> None:
    """A module that DAG files import adds neither transports nor the emulator to what Airflow's base classes import."""
    assert "airflow_provider_whiterabbit" in added_packages[module]
    assert not added_packages[module] & set(HEAVY)


_LITERALS = """
import sys
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.decorators.component import whiterabbit_task
from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.executions import WhiteRabbitExecutionsSensor
values = {"texts": ["a"], "numbers": [1, 1.5, 2.0, 1e-7, None, True], "templates": "{{ ds }}"}
WhiteRabbitExecuteComponentOperator(
    task_id="a", module="X", input=values, config=values, callback_url="https://x", attempts=2, timeout=5.5
)
WhiteRabbitTriggerWorkflowOperator(task_id="b", workflow_id="w", on_doubt="ask")
WhiteRabbitExecutionSensor(task_id="c", execution_id="e", timeout="{{ params.x }}", start_from_trigger=True)
WhiteRabbitReplayCallbacksOperator(task_id="d", execution_ids=["e"], max_replays=4)
WhiteRabbitExecutionsSensor(task_id="e", execution_ids=["e"], outputs=False, on_failed_execution="return")
WhiteRabbitExecuteComponentsOperator(task_id="h", module="X", inputs=[values, {}], at_once=2)
with DAG("light", schedule=None):
    pay = whiterabbit_task("X", config=values, task_id="f")(lambda a=1: {"a": a})
    pay()
    pay.override(task_id="g").expand(a=[1])
print(*sys.modules)
"""


def test_checks_of_literals() -> None:
    """The checks of a DAG's literal values, when Airflow parses the DAG, import nothing heavy."""
    command = [sys.executable, "-W", "ignore", "-c", _LITERALS]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = process.stdout.splitlines()[-1].split()
    ours = {name for name in modules if name.startswith("airflow_provider_whiterabbit.")}
    assert "airflow_provider_whiterabbit.client.wire.canonical" in ours
    assert not [name for name in ours if ".transport" in name or ".emulator" in name or name.endswith(".parameters")]
    assert "rfc8785" not in modules  # the others of HEAVY can be Airflow's own imports


def imported_packages(path: Path) -> set[str]:
    """Return the top-level packages that a module imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    ("library", "modules"),
    [
        ("requests", {"sync", "sync_io", "sync_sockets"}),
        ("aiohttp", {"aio_connector", "aio_exchanges", "aio_io", "sharing"}),
        ("urllib3", {"sync_io", "sync_sockets"}),
    ],
)
def test_libraries_of_the_transports(library: str, modules: set[str]) -> None:
    """In the client, only the modules of a transport import its library."""
    paths = {path for path in (PACKAGE / "client").rglob("*.py") if library in imported_packages(path)}
    assert paths == {PACKAGE / "client" / "transport" / f"{module}.py" for module in modules}
