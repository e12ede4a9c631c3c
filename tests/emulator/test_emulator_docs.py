"""The code blocks of docs/emulator.md run, and the rows of its tables are valid."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.emulator.__main__ import argument_parser
from airflow_provider_whiterabbit.emulator.effects import EFFECTS
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate
from airflow_provider_whiterabbit.emulator.world.journal import Kind
from tests.versions import needs_sdk

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "emulator.md").read_text()
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.DOTALL | re.MULTILINE)
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
SUPPORTED_KINDS = {"any": ["record", "stream"], "streams": ["stream"], "answers": ["record"]}
"""For each word in the column "kinds": which of the kinds `record` and `stream` the effect supports."""


def rows(columns: int) -> Iterator[list[str]]:
    """Yield the rows of all tables with this number of columns, without the headings."""
    for table in re.findall(r"(?:^\|.*\n)+", PROSE, flags=re.MULTILINE):
        lines = [
            [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]
            for line in table.splitlines()[2:]
        ]
        yield from (line for line in lines if len(line) == columns)


EFFECT_ROWS = [row for row in rows(4) if row[1]]
OUTAGE_ROWS = list(rows(3))
SETTINGS_ROWS = [row for row in rows(5) if row[3].startswith("`{")]


def file_name(block: str) -> str | None:
    """Return the file name in the first line of a code block; None if the block has none."""
    comment = re.match(r"# ([\w/]+\.py)\n", block)
    return comment and comment[1]


@pytest.mark.parametrize("block", [block for block in BLOCKS if not file_name(block)])
def test_scripts(block: str, tmp_path: Path) -> None:
    """A code block without a file name runs as a script."""
    script = tmp_path / "script.py"
    script.write_text(block)
    subprocess.run([sys.executable, str(script)], check=True, cwd=ROOT)


@pytest.mark.long
@needs_sdk
@pytest.mark.airflow
def test_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's conftest.py, DAG and tests pass in an empty folder."""
    files = {name: block for block in BLOCKS if (name := file_name(block))}
    assert {"conftest.py", "dags/payment.py", "test_wait.py", "test_payment.py"} == files.keys()
    for name, block in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(block)
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path / "dags"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    pytest_run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in pytest_run.stdout, pytest_run.stdout[-20_000:]


@pytest.mark.parametrize("row", EFFECT_ROWS, ids=lambda row: row[0])
def test_python_and_http_are_the_same_effect(row: list[str], whiterabbit_emulator: Emulator) -> None:
    """In each row, Python and HTTP create the same effect, and it supports the kinds that the row names."""
    _, kinds, python, http = row
    created: list[Any] = [eval(code, {"effects": effects}) for code in CODE.findall(python)]  # noqa: S307
    bodies = [json.loads(code) for code in CODE.findall(http)]
    assert created
    if not isinstance(created[0], effects.Events):
        assert [EFFECTS[body["effect"]](**parameters(body)) for body in bodies] == created
    for effect in created:
        assert [kind for kind in ("record", "stream") if effect.fits(kind)] == SUPPORTED_KINDS[kinds]
    for body in bodies:
        for kind in SUPPORTED_KINDS[kinds]:
            url = f"{whiterabbit_emulator.url}/_emulator/faults"
            assert requests.post(url, json={**body, "kind": kind}, timeout=60).status_code == 200


def parameters(body: dict[str, Any]) -> dict[str, Any]:
    """Return the effect's parameters in the body of `POST faults`."""
    return {name: value for name, value in body.items() if name != "effect"}


@pytest.mark.parametrize("row", OUTAGE_ROWS, ids=lambda row: row[0])
def test_outages(row: list[str]) -> None:
    """In each row of the table of outages, the Python code runs and the HTTP request is answered with 200."""
    _, python, http = row
    with Emulator() as wr:
        for code in CODE.findall(http):
            method, path, body = re.fullmatch(r"(\w+) (\S+) ?(.*)", code).groups()  # type: ignore[union-attr]
            url = f"{wr.url}/_emulator/{path}"
            answer = requests.request(method, url, json=json.loads(body or "{}"), timeout=60)
            assert answer.status_code == 200
        wr.resume()
        for code in CODE.findall(python):
            exec(code, {"wr": wr})  # noqa: S102
        wr.resume()


@pytest.mark.parametrize("row", SETTINGS_ROWS, ids=lambda row: row[0])
def test_settings(row: list[str], whiterabbit_emulator: Emulator) -> None:
    """In each row of the table of settings, all ways to set something have the same effect."""
    create, assign, http, command_line = (CODE.findall(cell) for cell in row[1:])
    changed = [eval(f"Emulator({code})", {"Emulator": Emulator}).settings for code in create]  # noqa: S307
    for code in assign:
        wr = Emulator()
        exec(f"wr.settings.{code}", {"wr": wr})  # noqa: S102
        changed.append(wr.settings)
    for code in http:
        answer = requests.post(f"{whiterabbit_emulator.url}/_emulator/settings", json=json.loads(code), timeout=60)
        assert answer.status_code == 200
        changed.append(whiterabbit_emulator.settings)
    for code in command_line:
        assert vars(argument_parser().parse_args(code.split())) != vars(argument_parser().parse_args([]))
    assert all(settings == changed[0] != Emulator().settings for settings in changed)


def test_every_effect_is_on_the_page() -> None:
    """The page names every effect, kind and certificate."""
    documented = {type(eval(code, {"effects": effects})) for row in EFFECT_ROWS for code in CODE.findall(row[2])}  # noqa: S307
    assert documented == {*EFFECTS.values(), effects.Events}
    assert len(SETTINGS_ROWS) > 5
    assert set(get_args(Kind)) <= set(CODE.findall(PROSE))
    assert set(get_args(Certificate)) <= set(CODE.findall(PROSE))
