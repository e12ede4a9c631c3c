"""Every Python block runs, DAGs with `dag.test()` and tests with pytest, and passes mypy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from tests.docs.pages import ROOT, Block, blocks

PYTHON = blocks("python")
FOREIGN = {"before.py"}
"""Titles of blocks that import modules which are not installed here; these blocks are only compiled."""

OWN_TESTS = {"docs/tutorial.md", "docs/emulator.md", "docs/callbacks.md"}
"""Pages whose blocks other modules run: `test_tutorial`, `test_emulator_docs` and `test_callbacks_page`."""

TESTED_PAGES = sorted({block.page for block in PYTHON if block.is_test} - OWN_TESTS)
RUN_ELSEWHERE = {*OWN_TESTS, *(page for page in TESTED_PAGES if page != "README.md")}
HERE = [block for block in PYTHON if block.page not in RUN_ELSEWHERE and block.title not in FOREIGN]
DAGS = {block.text: block for block in HERE if block.is_dag}

DRIVER = """
import json, sys
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
for dag in bag.dags.values():
    print("RUN", dag.dag_id, dag.test(run_conf=json.loads(sys.argv[2])).state, flush=True)
"""

MYPY = """
[mypy]
strict = true
check_untyped_defs = true
# The functions of DAGs have no annotations, and neither have Airflow's decorators.
allow_untyped_defs = true
disallow_untyped_calls = false
disallow_incomplete_defs = false
warn_return_any = false
[mypy-dags.*]
ignore_missing_imports = true
"""

OUTPUT_AS_ARGUMENT = 'has incompatible type "XComArg"'
"""The error of mypy when a task gets another task's output as an argument: Airflow's types do not allow for that."""

WRONG = """
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

WhiteRabbitHook().execute_component("SWAP", attempt=3)  # 7
WhiteRabbitHook().get_execution(5)  # 8
WhiteRabbitHook().get_execution("x").output_  # 9
WhiteRabbitExecuteComponentOperator(task_id="a", module=5)  # 10
WhiteRabbitExecutionSensor(task_id="a")  # 11
Emulator(port="8081")  # 12
"""


def check_types(*paths: Path, folder: Path) -> list[str]:
    """Return the lines that mypy prints for a user who has installed the package."""
    config = folder / "mypy.ini"
    config.write_text(MYPY)
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--no-error-summary", "--hide-error-context"]
    command += ["--cache-dir", str(ROOT / ".mypy_cache" / "docs"), "--explicit-package-bases", *map(str, paths)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if OUTPUT_AS_ARGUMENT not in line]


@pytest.mark.parametrize("block", [block for block in PYTHON if block.title in FOREIGN], ids=str)
def test_compiles(block: Block) -> None:
    """A block that can't run here is valid Python."""
    compile(block.text, str(block), "exec")


@pytest.mark.airflow
def test_dags(whiterabbit_emulator: Emulator, tmp_path: Path) -> None:
    """Airflow parses each DAG without an error, and a run of each DAG succeeds."""
    for number, block in enumerate(DAGS.values()):
        (tmp_path / f"dag_{number}.py").write_text(f"# {block}\n{block.text}")
    execution_id = whiterabbit_emulator.create_execution("SWAP", output={"hash": "0x1"})
    conf = f'{{"execution_id": "{execution_id}", "hash": "0x1", "amount": "5"}}'
    environ = os.environ | whiterabbit_emulator.environ | {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path)}
    command = [sys.executable, "-c", DRIVER, str(tmp_path), conf]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    runs = [line.split() for line in done.stdout.splitlines() if line.startswith("RUN ")]
    assert [run[2] for run in runs] == ["success"] * len(DAGS), done.stdout[-20_000:] + done.stderr[-5000:]


def test_nothing_escapes() -> None:
    """Each Python block is a DAG or a test, or is on a page whose blocks are tested together."""
    assert [str(block) for block in HERE if not block.is_dag and not block.is_test] == []


@pytest.mark.parametrize("page", TESTED_PAGES)
def test_tests(page: str, tmp_path: Path) -> None:
    """The tests that a page shows pass in a folder that contains only the blocks of the page."""
    shown = [block for block in PYTHON if block.page == page and (block.is_test or page in RUN_ELSEWHERE)]
    for block in shown:
        block.write(tmp_path)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environ["AIRFLOW_HOME"] = str(tmp_path / "home")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    count = sum(block.text.count("\ndef test_") for block in shown)
    assert count
    assert f"{count} passed" in done.stdout, done.stdout[-20_000:]


def test_types(tmp_path: Path) -> None:
    """Mypy finds no error in the Python blocks and the example DAGs, and reports wrong calls of the package.

    One run of mypy checks all files, because it spends most of its time on reading Airflow.
    """
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    paths = [wrong, *sorted((ROOT / "example_dags").glob("*.py"))]
    for number, block in enumerate(block for block in PYTHON if block.title not in FOREIGN):
        paths.append(tmp_path / f"block_{number}.py")
        paths[-1].write_text(f"# {block}\n{block.text}")
    lines = check_types(*paths, folder=tmp_path)
    of_wrong = [line for line in lines if Path(line.split(":")[0]).name == wrong.name]
    assert [line for line in lines if line not in of_wrong] == []
    reported = {int(line.split(":")[1]) for line in of_wrong if ": error:" in line}
    expected = {int(line.partition("  # ")[2]) for line in WRONG.splitlines() if "  # " in line}
    assert reported == expected
