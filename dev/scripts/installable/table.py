"""The table in docs/installation.md: the resolved version of each direct dependency, for each release of Airflow."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from dev.scripts.installable.releases import Release

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "installation.md"
BEGIN, END = "<!-- written by make installable -->", "<!-- end of the table -->"


def minimums() -> dict[str, str]:
    """Return the lowest version of each direct dependency, without Airflow's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = dict(dependency.split(">=") for dependency in project["dependencies"])
    del found["apache-airflow"]
    return found


def markdown(resolved: Mapping[Release, Mapping[str, str]]) -> str:
    """Return the table: a row for each release."""
    names = minimums()
    titles = [name.removeprefix("apache-airflow-providers-") for name in names]
    lines = [f"| Airflow | released | {' | '.join(titles)} |", f"| --- | --- |{' --- |' * len(titles)}"]
    for release, versions in resolved.items():
        cells = [release.airflow, release.day, *(versions[name] for name in names)]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"| lowest | | {' | '.join(names.values())} |")
    return "\n".join(lines)


def write_page(resolved: Mapping[Release, Mapping[str, str]]) -> None:
    """Replace the table in docs/installation.md."""
    table = f"{BEGIN}\n\n{markdown(resolved)}\n\n{END}"
    PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: table, PAGE.read_text(), flags=re.DOTALL))
