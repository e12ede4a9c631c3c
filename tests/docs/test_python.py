"""Every Python block runs, DAGs with `dag.test()` and tests with pytest, and passes mypy.

`make test` runs those of the README, `make test-all` those of all pages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_settings import EXAMPLE_VARIABLES
from tests.components.modules import BUILT_IN_CATALOGUE, generate
from tests.docs.pages import ROOT, Block, blocks

PYTHON = blocks("python")
FOREIGN = {"before.py"}
"""Titles of blocks that import modules which are not installed here; these blocks are only compiled."""

OWN_TESTS = {
    *("docs/tutorial.md", "docs/emulator.md", "docs/callbacks.md", "docs/operators/replay.md", "docs/components.md"),
    "docs/keys-and-secrets.md",
}
"""Pages whose blocks other modules run: `test_tutorial`, `test_emulator_docs`, `test_callbacks_page` (two pages),
`test_typed_components` and `test_keys_and_secrets`."""

TESTED_PAGES = sorted({block.page for block in PYTHON if block.is_test} - OWN_TESTS)
RUN_ELSEWHERE = {*OWN_TESTS, *(page for page in TESTED_PAGES if page != "README.md")}
HERE = [block for block in PYTHON if block.page not in RUN_ELSEWHERE and block.title not in FOREIGN]
DAGS = {block.text: block for block in HERE if block.is_dag}

DRIVER = """
import json, os, sys
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
for dag in bag.dags.values():
    # Each run parses all files of the DAG's bundle once more: the DAG's own folder suffices.
    bundle = {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
    bundle["kwargs"] = {"path": os.path.dirname(dag.fileloc)}
    os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps([bundle])
    run = dag.test(run_conf=json.loads(sys.argv[2]))
    tries = {ti.task_id: ti.try_number for ti in run.get_task_instances() if ti.try_number > 1}
    print("RUN", dag.dag_id, tries or run.state, flush=True)
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
[mypy-whiterabbit_components,typed_dag,typed_mistakes]
allow_untyped_defs = false
disallow_untyped_calls = true
disallow_incomplete_defs = true
warn_return_any = true
"""

KNOWN = (
    'has incompatible type "XComArg"',
    'Argument of type "XComArg"',
    'Cannot access attribute "override"',
    'Cannot access attribute "expand"',
    'Operator ">>" not supported for types',
    'of type "ParamsDict" in function "__init__"',
    'Import "dags.',
)
"""Errors about functions with `@task` and params, whose types Airflow does not know, and about a page's modules."""

TYPED = Path(__file__).parent / "typed"
"""DAGs on a generated module, without and with mistakes, which are checked as strictly as type checkers can."""

WRONG_FILE = "wrong.py"

WRONG = """
from datetime import timedelta
from airflow_provider_whiterabbit.decorators.component import whiterabbit_task
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor
from airflow_provider_whiterabbit.templates import Template

WhiteRabbitHook().execute_component("SWAP", attempt=3)  # wrong
WhiteRabbitHook().get_execution(5)  # wrong
WhiteRabbitHook().get_execution("x").output_  # wrong
Emulator(port="8081")  # wrong
WhiteRabbitExecuteComponentOperator(task_id="a", module=5)  # wrong
WhiteRabbitExecuteComponentOperator(module="X")  # wrong
WhiteRabbitExecuteComponentOperator(task_id="a", module="X", timeout="1h")  # wrong
WhiteRabbitExecuteComponentOperator(task_id="a", module="X", defferable=True)  # wrong
WhiteRabbitExecuteComponentOperator(task_id="a", module="X", attempts="3")  # wrong
WhiteRabbitExecuteComponentOperator(task_id="a", module="X", on_doubt="aks")  # wrong
WhiteRabbitExecuteComponentOperator(task_id="a", module="X", retries="3")  # wrong
WhiteRabbitExecuteComponentOperator(task_id="a", module="X", wait_for_completion=None)  # wrong
WhiteRabbitExecuteComponentOperator(task_id="a", module="X", deferrable="{{ params.deferrable }}")  # wrong
WhiteRabbitExecuteComponentOperator(task_id="a", module="X", whiterabbit_conn_id=None)  # wrong
WhiteRabbitTriggerWorkflowOperator(task_id="a", workflow_id="x", timeout="1h")  # wrong
WhiteRabbitTriggerWorkflowOperator(task_id="a", workflow_id="x", defferable=True)  # wrong
WhiteRabbitExecutionSensor(task_id="a")  # wrong
WhiteRabbitExecutionSensor(task_id="a", execution_id="e", timeout="1h")  # wrong
WhiteRabbitExecutionSensor(task_id="a", execution_id="e", defferable=True)  # wrong
WhiteRabbitExecutionSensor(task_id="a", execution_id="e", mode="pull")  # wrong
WhiteRabbitWorkflowRunSensor(task_id="a", workflow_run_id="r", poke_interval="1h")  # wrong
WhiteRabbitWorkflowRunSensor(task_id="a", workflow_run_id="r", defferable=True)  # wrong
WhiteRabbitReplayCallbacksOperator(task_id="a", max_replays="many")  # wrong
WhiteRabbitReplayCallbacksOperator(task_id="a", submited=None)  # wrong
whiterabbit_task()  # wrong
whiterabbit_task("X", timeout="1h")  # wrong
whiterabbit_task("X", defferable=True)  # wrong
whiterabbit_task("X", input={})  # wrong
whiterabbit_task("X")(lambda: None)  # wrong
whiterabbit_task("X")(lambda: [{}])  # wrong
whiterabbit_task("X")(lambda: ({}, None))  # wrong
whiterabbit_task("X")(lambda: {}).override(retries="3")  # wrong

hour = Template("{{ params.hours * 3600 }}")
pay = WhiteRabbitExecuteComponentOperator(task_id="a", module="X", input="pay.json", timeout=hour, on_doubt=hour)
WhiteRabbitExecuteComponentOperator(task_id="b", module="X", input=pay.output, attempts=pay.output, callback=True)
WhiteRabbitExecutionSensor(task_id="c", execution_id=pay.output, timeout=timedelta(1), mode="poke", retries=2)
WhiteRabbitExecuteComponentOperator(task_id="d", module="X", whiterabbit_conn_id=pay.output)
WhiteRabbitExecutionSensor(task_id="e", execution_id="e", whiterabbit_conn_id=pay.output)
WhiteRabbitReplayCallbacksOperator(task_id="f", execution_ids=pay.output, whiterabbit_conn_id=pay.output)
name: str = pay.whiterabbit_conn_id


@whiterabbit_task("X", config="x.json", timeout=hour, attempts=pay.output, retries=2, allowed_secrets=["x"])
def decorated(a: str, b: int = 1) -> dict[str, str]:
    return {"a": a}


@whiterabbit_task(pay.output)
def both(a):
    return {"a": a}, {"b": 1}


both(decorated("x")) >> decorated.override(module="Y", task_id="y").partial(a=pay.output).expand(b=[1, 2])
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the blocks of all pages, the example DAGs, the generated module, and modules of mistakes."""
    folder = tmp_path_factory.mktemp("code")
    for number, block in enumerate(block for block in PYTHON if block.title not in FOREIGN):
        (folder / f"block_{number}.py").write_text(f"# {block}\n{block.text}")
    for example in (ROOT / "example_dags").glob("*.py"):
        shutil.copy(example, folder / f"example_{example.name}")
    (folder / WRONG_FILE).write_text(WRONG)
    generated = generate(folder, *BUILT_IN_CATALOGUE, name="whiterabbit_components")
    for path in (generated, *TYPED.glob("*.py")):
        (folder / path.name).write_text(f"{path.read_text()}\n# pyright: strict\n")
    return folder


def check_with_mypy(folder: Path) -> list[tuple[str, int, str]]:
    """Return the errors that mypy reports to a user who has installed the package: file, line, message."""
    config = folder / "mypy.ini"
    config.write_text(MYPY)
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--no-error-summary", "--hide-error-context"]
    command += ["--cache-dir", str(ROOT / ".mypy_cache" / "docs"), "--explicit-package-bases"]
    command += sorted(path.name for path in folder.glob("*.py"))
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    lines = [line.split(":", 2) for line in done.stdout.splitlines() if ": note:" not in line]
    return [(file, int(line), message) for file, line, message in lines]


def check_with_pyright(folder: Path) -> list[tuple[str, int, str]]:
    """Return the errors that pyright reports to such a user; basedpyright is pyright with its own Node.js."""
    # The package is found where this process finds it, which may be another folder than the installed one.
    options = {"typeCheckingMode": "standard", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(options))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return [
        (Path(error["file"]).name, error["range"]["start"]["line"] + 1, error["message"])
        for error in found
        if error["severity"] == "error"
    ]


@pytest.mark.parametrize("block", [block for block in PYTHON if block.title in FOREIGN], ids=str)
def test_compiles(block: Block) -> None:
    """A block that can't run here is valid Python."""
    compile(block.text, str(block), "exec")


@pytest.mark.airflow
def test_readme(whiterabbit_emulator: Emulator, tmp_path: Path) -> None:
    """The README's DAG succeeds, submits what it should, and its output has the form that the README shows."""
    (block,) = (block for block in HERE if block.page == "README.md" and block.is_dag)
    conf = {"transaction": "0200"}
    assert run_dags(whiterabbit_emulator, tmp_path, [block], conf) == re.findall(r'DAG\("(\w+)"', block.text)
    submission = {
        "module": "BROADCAST_BITCOIN_TRANSACTION",
        "input": {"signedTransaction": conf["transaction"]},
        "config": {"network": "testnet"},
    }
    assert [entry.json for entry in whiterabbit_emulator.requests(kind="submit")] == [submission]
    shown = re.findall(r"^The output is the XCom of the task: `(.+)`$", (ROOT / "README.md").read_text(), re.MULTILINE)
    outputs = [record["output"] for record in whiterabbit_emulator.executions]
    assert [list(json.loads(text)) for text in shown] == [list(output) for output in outputs]


@pytest.mark.long
@pytest.mark.airflow
def test_dags(whiterabbit_emulator: Emulator, tmp_path: Path) -> None:
    """Airflow parses each DAG without an error, and a run of each DAG succeeds, unchanged, against the emulator."""
    wr = whiterabbit_emulator
    wr.script_workflow("demo-2", [{"module": "RANDOM_UUID"}])
    ids = [wr.create_execution("RANDOM_UUID") for _ in range(2)]
    conf = {"execution_id": ids[0], "execution_ids": ids, "workflow_run_id": wr.create_run("demo")}
    run_dags(wr, tmp_path, list(DAGS.values()), conf | {"hash": "0x1", "transaction": "0200"})


def run_dags(wr: Emulator, folder: Path, shown: list[Block], conf: dict[str, Any]) -> list[str]:
    """Run all DAGs of code blocks in one process of Airflow's, check that each succeeds, and return their ids."""
    for block in shown:
        name = f"{block.page.replace('/', '_')}_{block.line}"
        (folder / name).mkdir()
        (folder / name / f"{name}.py").write_text(block.text)
    wr.settings.callback_attempts = 1
    environ = os.environ | EXAMPLE_VARIABLES
    environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder)
    connection = wr.connection
    connection["extra"] |= {"callback_secret": "whsec_of_the_pages"}
    environ["AIRFLOW_CONN_WHITERABBIT_DEFAULT"] = json.dumps(connection)
    environ["AIRFLOW__WHITERABBIT__CALLBACK_BASE_URL"] = f"{wr.url}/nobody-listens-here"
    command = [sys.executable, "-c", DRIVER, str(folder), json.dumps(conf)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    runs = [line.split() for line in done.stdout.splitlines() if line.startswith("RUN ")]
    count = sum(len(re.findall(r"@dag\(|with DAG\(", block.text)) for block in shown)
    assert [run[2] for run in runs] == ["success"] * count, done.stdout[-20_000:] + done.stderr[-5000:]
    return [run[1] for run in runs]


def test_nothing_escapes() -> None:
    """Each Python block is a DAG or a test, or is on a page whose blocks are tested together."""
    assert [str(block) for block in HERE if not block.is_dag and not block.is_test] == []


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.long] if page != "README.md" else []) for page in TESTED_PAGES]
)
def test_tests(page: str, tmp_path: Path) -> None:
    """The tests that a page shows pass in a folder that contains only the page's blocks, and remove their Airflow."""
    shown = [block for block in PYTHON if block.page == page and (block.is_test or page in RUN_ELSEWHERE)]
    for block in shown:
        block.write(tmp_path)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environ["AIRFLOW_HOME"] = str(tmp_path / "home")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environ["TMPDIR"] = str(temporary)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    count = sum(block.text.count("\ndef test_") for block in shown)
    assert count
    assert f"{count} passed" in done.stdout, done.stdout[-20_000:]
    assert list(temporary.glob("airflow-*")) == []


@pytest.mark.long
@pytest.mark.parametrize("check", [check_with_mypy, check_with_pyright])
def test_types(code: Path, check: Callable[[Path], list[tuple[str, int, str]]]) -> None:
    """Mypy and pyright find no error in the Python blocks and the example DAGs, and each of the mistakes.

    One process checks everything, because most of its time goes into Airflow's own modules.
    """
    errors = check(code)
    wrong = {WRONG_FILE, "typed_mistakes.py"}
    assert [e for e in errors if e[0] not in wrong and not any(known in e[2] for known in KNOWN)] == []
    expected = {number for number, line in enumerate(WRONG.splitlines(), start=1) if line.endswith("# wrong")}
    assert len(expected) > 15
    assert {line for file, line, _ in errors if file == WRONG_FILE} == expected
    typed = (TYPED / "typed_mistakes.py").read_text().splitlines()
    expected = {number for number, line in enumerate(typed, start=1) if line.endswith("# wrong")}
    assert len(expected) > 10
    assert sorted(line for file, line, _ in errors if file == "typed_mistakes.py") == sorted(expected)
