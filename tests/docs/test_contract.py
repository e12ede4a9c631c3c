"""The tables of the contract in `docs/emulator.md` are complete, and the places that they name exist."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.records.status import ExecutionStatus, StageStatus, WorkflowRunStatus
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.server.api import Api
from airflow_provider_whiterabbit.emulator.server.validation import RESERVED_HEADERS
from airflow_provider_whiterabbit.emulator.world.components import BUILT_IN
from airflow_provider_whiterabbit.emulator.world.settings import Settings
from airflow_provider_whiterabbit.emulator.world.world import World
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.docs.pages import ROOT

PACKAGE = ROOT / "airflow_provider_whiterabbit"
ROOTS = {"provider": PACKAGE, "emulator": PACKAGE / "emulator", "tests": ROOT / "tests"}
"""Where the places of each column are."""

HEADING = "| name | what it is | provider | emulator | tests |"
CODE = re.compile(r"`([^`]+)`")


def sections() -> dict[str, dict[str, list[str]]]:
    """Return the rows of each section's table: the cells by the name in the first column."""
    text = (ROOT / "docs" / "emulator.md").read_text()
    parts = re.split(r"^### (.*)\n", text, flags=re.MULTILINE)[1:]
    found = {}
    for title, part in list(pairwise(parts))[::2]:
        if HEADING in part:
            table = part.partition(HEADING)[2].partition("\n\n")[0].splitlines()[2:]
            rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in table]
            found[title] = {row[0].strip("`"): row for row in rows}
    return found


SECTIONS = sections()
CELLS = [
    pytest.param(name, column, row[number], id=f"{title}-{name}-{column}")
    for title, rows in SECTIONS.items()
    for name, row in rows.items()
    for number, column in enumerate(ROOTS, start=2)
]


def names(section: str) -> set[str]:
    """Return the names in the first column of a section's table."""
    return set(SECTIONS[section])


@cache
def definitions(path: str) -> dict[str, str]:
    """Return the source of each function, class, method and variable in a file, by its name."""
    text = (ROOT / path).read_text()
    found: dict[str, str] = {}

    def add(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            source = ast.get_source_segment(text, node) or ""
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[prefix + node.name] = source
                if isinstance(node, ast.ClassDef):
                    add(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
                found.update((prefix + name.id, source) for name in _names(targets))

    add(ast.parse(text).body, "")
    return found


def _names(targets: list[ast.expr]) -> list[ast.Name]:
    return [name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def source_of(place: str, column: str) -> str:
    """Return the source of a place, such as ``client/api.py::get_execution``; of a test, that of its whole module."""
    path, _, name = place.partition("::")
    assert column != "tests" or name.startswith("test_"), f"{place} is no test"
    relative = str((ROOTS[column] / path).relative_to(ROOT))
    assert name in definitions(relative), f"{relative} has no {name}"
    return (ROOT / relative).read_text() if column == "tests" else definitions(relative)[name]


@pytest.mark.parametrize(("name", "column", "cell"), CELLS)
def test_places(name: str, column: str, cell: str) -> None:
    """Each named place exists, and one of the places of a cell contains the name of the row, if that is one word."""
    if cell.startswith("not "):
        assert column == "provider"
        assert cell in ("not read", "not special")
        return
    sources = [source_of(place, column).lower() for place in CODE.findall(cell)]
    assert sources, "no place"
    if " " not in name and not name.endswith("xx"):
        assert any(name.lower() in source for source in sources)


# --- the tables are complete


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """Return what the emulator sends: records, events and answers of an execution and of a workflow run."""
    with Emulator(require_signature=False) as wr:
        wr.script_workflow("flow", [{"module": "RANDOM_UUID", "manual": True}])
        key = {"X-Api-Key": wr.api_key}
        started = requests.post(f"{wr.url}/v1/sdk/workflows/flow", headers=key, timeout=60).json()
        run_id, execution_id = started["runId"], wr.create_execution("RANDOM_UUID", manual=True)
        found = {"started": started, "run": wr.run(run_id), "execution": wr.execution(execution_id)}
        for noun, identity in (("components", execution_id), ("workflows", run_id)):
            url = f"{wr.url}/v1/sdk/{noun}/executions/{identity}/stream"
            with requests.get(url, headers=key, timeout=60, stream=True) as stream:
                found[noun] = json.loads(next(stream.iter_lines()).removeprefix(b"data: "))
        found["refused"] = requests.get(f"{wr.url}/v1/sdk/x", timeout=60).json()
        found["missing"] = requests.get(f"{wr.url}/x", timeout=60).json()
    return found


def test_records_and_events(seen: dict[str, Any]) -> None:
    """The tables have each field of the records, of the events and of the answer to the start of a workflow."""
    assert seen["execution"].keys() == names("Record of an execution")
    assert seen["execution"]["callback"].keys() == names("Callback in a record")
    assert seen["components"].keys() == names("Event of an execution")
    assert seen["started"].keys() == names("Answer to the start of a workflow")
    assert seen["run"].keys() == names("Record of a workflow run")
    assert seen["run"]["runStages"][0].keys() == names("Stage in the record of a workflow run")
    event = seen["workflows"]
    assert event.keys() | event["output"].keys() == names("Event of a workflow run")
    row = " ".join(SECTIONS["Event of a workflow run"]["nonTerminalStages"])
    assert event["output"]["nonTerminalStages"][0].keys() <= set(CODE.findall(row))


def test_errors(seen: dict[str, Any]) -> None:
    """The table has each field of the two shapes of an error."""
    assert seen["refused"].keys() | seen["missing"].keys() | {"Retry-After"} == names("Body of an error")
    assert seen["missing"]["errors"][0].keys() <= names("Body of an error")


def test_endpoints() -> None:
    """The table has each endpoint of the emulator."""
    routes = Api(World(Settings())).routes
    endpoints = {f"{method} {route.path}" for route in routes for method in route.methods or () if method != "HEAD"}
    assert endpoints == names("Endpoints")


def test_submission_and_update() -> None:
    """The tables have each field that the provider can send."""
    submission = api.execute_component(
        "X", attempts=1, inline_wait=1, callback_url="https://x", callback_secret="s", callback_headers={"a": "b"}
    )
    assert json.loads(submission.body or b"").keys() == names("Body of a submission")
    update = api.update_component("w", "c", config={}, name="n", position=[0, 0])
    assert json.loads(update.body or b"").keys() == names("Update of a component")


def test_headers(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables have each header of a request that is not of HTTP itself, and of a callback."""
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)
    WhiteRabbitHook().execute_component("RANDOM_UUID")
    sent = {header for header in whiterabbit_emulator.journal[-1].headers if header.startswith("x-")}
    assert sent | {"content-type"} == {name.lower() for name in names("Headers of a request")}
    assert {header for header in RESERVED_HEADERS if header.startswith("x-")} == names("Headers of a callback")


def test_definitions_and_statuses() -> None:
    """The tables have each field of a component definition, and each status with exactly the classes that have it."""
    assert BUILT_IN[0].keys() - {"description"} == names("Definition of a component")
    classes = (ExecutionStatus, WorkflowRunStatus, StageStatus)
    expected = {name: [kind.__name__ for kind in classes if name in list(kind)] for name in names("Statuses")}
    cells = {name: CODE.findall(row[2]) for name, row in SECTIONS["Statuses"].items()}
    shown = {name: [place.partition("::")[2] for place in places] for name, places in cells.items()}
    assert shown == expected
    assert {status for kind in classes for status in kind} == names("Statuses")


def test_components() -> None:
    """The table of components has the inputs, config fields and outputs of each definition, and marks each secret."""
    text = (ROOT / "docs" / "emulator.md").read_text()
    for definition in BUILT_IN:
        (row,) = re.findall(rf"^\| `{definition['module']}` \|.*$", text, re.MULTILINE)
        inputs, config, outputs, guesses = (cell.strip() for cell in row.removesuffix("|").split("|")[2:])
        assert CODE.findall(inputs) == [field["name"] for field in definition["inputs"]["parameters"]]
        assert CODE.findall(config) == list(definition["configs"]["properties"])
        assert CODE.findall(outputs) == [field["name"] for field in definition["outputs"]["response"]]
        guess = definition["description"].partition("; ")[2]
        assert guesses == guess.rstrip(".")
