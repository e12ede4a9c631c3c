"""Links on the pages work, the reference is complete, and the CI workflows use existing make targets."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_whiterabbit.compat import BaseOperator, BaseSensorOperator
from airflow_provider_whiterabbit.get_provider_info import get_provider_info
from tests.docs.pages import ROOT

MARKDOWN = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)")
MAKEFILE = (ROOT / "Makefile").read_text()


def prose(path: Path) -> str:
    """Return the text of a page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Each link within the repository leads to an existing file, and to a heading of that file."""
    for target, anchor in LINK.findall(prose(page)):
        path = (page.parent / target) if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def test_reference() -> None:
    """The reference contains every module that the provider's metadata lists."""
    text = "".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    info = get_provider_info()
    modules = [
        name for kind in ("hooks", "operators", "sensors", "triggers") for name in info[kind][0]["python-modules"]
    ]
    assert [name for name in modules if f"::: {name}" not in text] == []


def operators_and_sensors() -> list[type[Any]]:
    """Return the operators and sensors of the modules that the provider's metadata lists."""
    info = get_provider_info()
    modules = [import_module(name) for kind in ("operators", "sensors") for name in info[kind][0]["python-modules"]]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__ and issubclass(value, BaseOperator)
    ]


@pytest.mark.parametrize("operator", operators_and_sensors())
def test_guides(operator: type[Any]) -> None:
    """The docstring of each operator and sensor names its guide: a heading that exactly one page of the site has."""
    kind = "sensor" if issubclass(operator, BaseSensorOperator) else "operator"
    intro = f".. seealso::\n    For more information on how to use this {kind}, take a look at the guide:\n    :ref:"
    docstring = inspect.cleandoc(operator.__doc__ or "")
    assert intro in docstring
    (anchor,) = re.findall(r":ref:`([\w-]+)`", docstring)
    assert len([page for page in (ROOT / "docs").rglob("*.md") if anchor in anchors(page)]) == 1


def test_colours() -> None:
    """In Airflow's graph, the provider's tasks have a colour of their own, which Airflow's own classes do not have."""
    colours = {operator.ui_color for operator in operators_and_sensors()}
    assert len(colours) == 1
    assert re.fullmatch("#[0-9a-f]{6}", *colours)
    assert not colours & {BaseOperator.ui_color, BaseSensorOperator.ui_color}


WORKFLOWS = {path.name: path for path in (ROOT / ".github" / "workflows").glob("*.yml")}


def targets_of(name: str) -> set[str]:
    """Return the make targets that a CI workflow runs."""
    steps = [step for job in yaml.safe_load(WORKFLOWS[name].read_text())["jobs"].values() for step in job["steps"]]
    commands = [command for step in steps for command in re.findall(r"\bmake ([a-z -]+)", step.get("run", ""))]
    return {word for command in commands for word in command.split() if not word.startswith("-")}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows(name: str) -> None:
    """A CI workflow runs existing make targets only, and uses no secret."""
    targets = targets_of(name)
    assert targets
    assert all(re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE) for target in targets)
    assert "secrets." not in WORKFLOWS[name].read_text()


def test_workflows_run_what_takes_long() -> None:
    """The workflows for every change run what takes too long to run before each merge."""
    assert targets_of("checks.yml") >= {"lint", "types", "build", "installable"}
    assert targets_of("matrix.yml") >= {"matrix", "ui-test"}
