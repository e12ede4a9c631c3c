"""The provider installs with constraints, as the tutorial says, into a new environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev.scripts.installable.environment import EXEMPT, IMPORT_ALL, Environment
from dev.scripts.installable.releases import RELEASES
from dev.scripts.installable.table import BEGIN, END, PAGE, minimums
from tests.docs.pages import ROOT, blocks
from tests.test_versions import ROWS, padded


def table() -> dict[str, list[str]]:
    """Return the rows of the table that `make installable` has written, by their first cells."""
    lines = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


def test_releases() -> None:
    """`make installable` tries the first release and the tested, newest patch of each supported Airflow."""
    expected = [name for minor, patch in ROWS["Tested version"].items() for name in (f"{minor}.0", patch)]
    assert [release.airflow for release in RELEASES] == expected


def test_table() -> None:
    """The page shows what `make installable` has resolved, and no version is below the lowest that is allowed."""
    lowest = minimums()
    rows = table()
    assert [name.removeprefix("apache-airflow-providers-") for name in lowest] == rows.pop("Airflow")[1:]
    assert rows.pop("---")
    assert rows.pop("lowest")[1:] == list(lowest.values())
    assert {name: cells[0] for name, cells in rows.items()} == {release.airflow: release.day for release in RELEASES}
    for _, *versions in rows.values():
        for version, minimum in zip(versions, lowest.values(), strict=True):
            assert padded(version) >= padded(minimum)


def stand_in(folder: Path) -> Path:
    """Return a file with the versions of the release day of the tutorial's Airflow, like Airflow's constraints file."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("needs uv on PATH")
    versions = Environment(Path(uv), RELEASES[-1], folder).resolve()
    path = folder / "constraints.txt"
    path.write_text("".join(f"{name}=={version}\n" for name, version in versions.items() if name not in EXEMPT))
    return path


@pytest.mark.e2e
def test_the_tutorial_installs(tmp_path: Path) -> None:
    """The first commands of the tutorial install Airflow and the provider, with all that the constraints pin."""
    block = next(block for block in blocks("sh") if block.page == "docs/tutorial.md")
    constraints = stand_in(tmp_path)
    script, replaced = re.subn("CONSTRAINT_URL=.*", f"CONSTRAINT_URL={constraints}", block.text)
    assert replaced == 1
    script = script.replace("airflow-provider-whiterabbit[", f"{ROOT}[")
    script += "pip check\npip freeze\npython -W ignore - <<'END'\n" + IMPORT_ALL + "END\n"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    environ = kept | {"AIRFLOW_HOME": str(tmp_path / "airflow")}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "modules imported" in done.stdout
    assert f"apache-airflow=={RELEASES[-1].airflow}\n" in done.stdout
    assert set(re.findall("^apache-airflow-providers-common-compat==.*$", done.stdout, re.MULTILINE)) <= set(
        constraints.read_text().splitlines()
    )
