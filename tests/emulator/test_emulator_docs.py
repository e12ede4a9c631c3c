"""What docs/emulator.md shows is run, and what its tables say is tried."""

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
from airflow_provider_whiterabbit.emulator.effects import EFFECTS
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate
from airflow_provider_whiterabbit.emulator.world.journal import Kind
from tests.versions import needs_sdk

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "emulator.md").read_text()
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.DOTALL | re.MULTILINE)
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
OPTIONS = {"any": ["record", "stream"], "streams": ["stream"], "answers": ["record"]}


def rows(columns: int) -> Iterator[list[str]]:
    """Return the rows of the tables with so many columns, without their headings."""
    for table in re.findall(r"(?:^\|.*\n)+", PROSE, flags=re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
        yield from (line for line in lines if len(line) == columns)


EFFECT_ROWS = [row for row in rows(4) if row[1]]
OUTAGE_ROWS = list(rows(3))


def named(block: str) -> str | None:
    """Return the file name that a block begins with, if it does."""
    found = re.match(r"# ([\w/]+\.py)\n", block)
    return found and found[1]


@pytest.mark.parametrize("block", [block for block in BLOCKS if not named(block)])
def test_scripts(block: str, tmp_path: Path) -> None:
    """What needs no pytest runs as it stands."""
    script = tmp_path / "script.py"
    script.write_text(block)
    subprocess.run([sys.executable, str(script)], check=True, cwd=ROOT)


@needs_sdk
@pytest.mark.airflow
def test_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conftest and the tests pass, in a folder of a user's."""
    files = {name: block for block in BLOCKS if (name := named(block))}
    assert {"conftest.py", "dags/swap.py", "test_swap.py", "test_payment.py"} == files.keys()
    for name, block in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(block)
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path / "dags"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout[-20_000:]


@pytest.mark.parametrize("row", EFFECT_ROWS, ids=lambda row: row[0])
def test_both_spellings_are_the_same_effect(row: list[str], whiterabbit_emulator: Emulator) -> None:
    """What is written for Python is what is written for HTTP, and goes where the table says."""
    _, on, python, http = row
    spelled: list[Any] = [eval(code, {"effects": effects}) for code in CODE.findall(python)]  # noqa: S307
    told = [json.loads(code) for code in CODE.findall(http)]
    assert spelled
    if not isinstance(spelled[0], effects.Events):
        assert [EFFECTS[fault["effect"]](**parameters(fault)) for fault in told] == spelled
    for effect in spelled:
        assert [kind for kind in ("record", "stream") if effect.fits(kind)] == OPTIONS[on]
    for fault in told:
        for kind in OPTIONS[on]:
            url = f"{whiterabbit_emulator.url}/_emulator/faults"
            assert requests.post(url, json={**fault, "kind": kind}, timeout=10).status_code == 200


def parameters(fault: dict[str, Any]) -> dict[str, Any]:
    """Return what the effect is given."""
    return {name: value for name, value in fault.items() if name != "effect"}


@pytest.mark.parametrize("row", OUTAGE_ROWS, ids=lambda row: row[0])
def test_outages_can_be_spelled_like_that(row: list[str]) -> None:
    """Each line runs, in Python and over HTTP."""
    _, python, http = row
    with Emulator() as wr:
        for code in CODE.findall(http):
            method, path, body = re.fullmatch(r"(\w+) (\S+) ?(.*)", code).groups()  # type: ignore[union-attr]
            url = f"{wr.url}/_emulator/{path}"
            answer = requests.request(method, url, json=json.loads(body or "{}"), timeout=10)
            assert answer.status_code == 200
        wr.resume()
        for code in CODE.findall(python):
            exec(code, {"wr": wr})  # noqa: S102
        wr.resume()


def test_nothing_is_left_out() -> None:
    """Every effect, kind and certificate is mentioned."""
    shown = {type(eval(code, {"effects": effects})) for row in EFFECT_ROWS for code in CODE.findall(row[2])}  # noqa: S307
    assert shown == {*EFFECTS.values(), effects.Events}
    assert set(get_args(Kind)) <= set(CODE.findall(PROSE))
    assert set(get_args(Certificate)) <= set(CODE.findall(PROSE))
