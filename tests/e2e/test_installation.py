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
from tests.docs.pages import ROOT, blocks

pytestmark = [pytest.mark.e2e, pytest.mark.long]


def stand_in(folder: Path) -> Path:
    """Return a file with the versions of the release day of the tutorial's Airflow, like Airflow's constraints file."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("needs uv on PATH")
    versions = Environment(Path(uv), RELEASES[-1], folder).resolve()
    path = folder / "constraints.txt"
    path.write_text("".join(f"{name}=={version}\n" for name, version in versions.items() if name not in EXEMPT))
    return path


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
