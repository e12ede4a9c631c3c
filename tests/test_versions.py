"""The tables of Airflow's versions and of their features are right, in the column of the Airflow that is installed."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec

import pytest
from airflow import __version__ as airflow_version
from airflow.triggers.base import BaseTrigger
from packaging.version import Version

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.ending.obstacles import version_obstacles
from airflow_provider_whiterabbit.receiver.plugin import WhiteRabbitPlugin
from dev.scripts.installable.releases import RELEASES
from tests import versions
from tests.docs.pages import ROOT, tables

RUNNING = ".".join(airflow_version.split(".")[:2])
FEATURES_PAGE = "docs/upgrading.md"


def rows(page: str) -> dict[str, dict[str, str]]:
    """Return the rows of a page's table whose columns are Airflow's versions, by their titles."""
    (head, *lines) = next(table for table in tables(page) if "3.3" in table[0])
    return {line[0]: dict(zip(head[1:], line[1:], strict=True)) for line in lines}


ROWS = rows("README.md")
FEATURE_ROWS = rows(FEATURES_PAGE)


def has_waits() -> bool:
    """Import hook, operators and sensors, and return True."""
    names = ("hooks.whiterabbit", "operators.component", "operators.workflow", "sensors.execution", "sensors.workflow")
    return all(importlib.import_module(f"airflow_provider_whiterabbit.{name}") for name in names)


def has_store() -> bool:
    """Return whether Airflow has the task state store."""
    return bool(find_spec("airflow.sdk")) and hasattr(
        importlib.import_module("airflow.sdk.execution_time.context"), "NEVER_EXPIRE"
    )


def has_receiver() -> bool:
    """Return whether the plugin serves the receiver of callbacks if it is configured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS", "a")
        return bool(WhiteRabbitPlugin().fastapi_apps)


def has_run_each() -> bool:
    """Return whether `assets.each` returns more than the asset itself."""
    asset = assets.module("PAY")
    return has_receiver() and assets.each(asset) is not asset


def has_triggerer_end() -> bool:
    """Return whether tasks can start and end in the triggerer."""
    return not list(version_obstacles())


def has_trigger_kill() -> bool:
    """Return whether Airflow tells triggers that their task was killed."""
    return hasattr(BaseTrigger, "on_kill")


FEATURES: dict[str, Callable[[], bool]] = {
    "Hook, operators, sensors": has_waits,
    "A retry finds": has_store,
    "Callbacks": has_receiver,
    "A run for each": has_run_each,
    "Tasks that start or end": has_triggerer_end,
    "A task that is killed": has_trigger_kill,
}
"""The check of each row of the table, by the beginning of the row's title."""


@pytest.mark.parametrize("beginning", FEATURES)
def test_feature(beginning: str) -> None:
    """The table says yes if the installed Airflow has the feature; else no, with a note that gives the reason."""
    (row,) = [cells for title, cells in FEATURE_ROWS.items() if title.lstrip("[").startswith(beginning)]
    cell = re.fullmatch(r"yes(?:, from (?P<since>.+) on)?|no \((?P<note>\d)\)", row[RUNNING])
    assert cell is not None
    expected = cell["note"] is None and Version(airflow_version) >= Version(cell["since"] or "0")
    assert expected is FEATURES[beginning]()
    if cell["note"]:
        assert f"\n{cell['note']}. " in (ROOT / FEATURES_PAGE).read_text()


def test_every_row_has_a_check() -> None:
    """Each row of the table has a check."""
    titles = [title.lstrip("[") for title in FEATURE_ROWS]
    assert len(titles) == len(FEATURES)
    assert all(title.startswith(tuple(FEATURES)) for title in titles)


def test_marks() -> None:
    """The marks skip the tests of exactly those features that the installed Airflow lacks."""
    assert has_store() is versions.HAS_STORE
    assert has_receiver() is versions.HAS_RECEIVER
    assert has_run_each() is versions.HAS_RUN_EACH
    assert has_triggerer_end() is versions.HAS_TRIGGERER_END is (Version(airflow_version) >= Version("3.3.1"))
    assert bool(find_spec("airflow.sdk")) is versions.HAS_SDK


def pythons() -> dict[str, tuple[str, ...]]:
    """Return the Pythons of each Airflow from the noxfile, without importing nox, which is not installed here."""
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PYTHONS":
            return dict(ast.literal_eval(node.value))
    raise AssertionError("the noxfile has no PYTHONS")


def test_pythons() -> None:
    """The Pythons of the table are those of the noxfile, and together those of the package's metadata."""
    assert {version: tuple(cell.split(", ")) for version, cell in ROWS["Python"].items()} == pythons()
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert sorted(set().union(*pythons().values())) == classifiers
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in pythons()[RUNNING]


def test_tested_versions() -> None:
    """The tested versions are those of the constraints; the installed one is among them or those of `installable`."""
    for version, tested in ROWS["Tested version"].items():
        pins = (ROOT / "constraints" / f"airflow-{version}.txt").read_text()
        assert f"\napache-airflow=={tested} " in pins
    assert airflow_version in {ROWS["Tested version"][RUNNING], *(release.airflow for release in RELEASES)}


def test_lowest_versions() -> None:
    """The constraints of the lowest versions pin each dependency to its minimum in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text()
    minimum = dict(re.findall(r'^    "([\w-]+)>=([\d.]+)",$', text.partition("[dependency-groups]")[0], re.MULTILINE))
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+) ", (ROOT / "constraints" / "lowest.txt").read_text(), re.MULTILINE))
    assert "apache-airflow" in minimum
    # It would change the tests. `test_openlineage` has pins of its own.
    del minimum["apache-airflow-providers-openlineage"]
    assert {name: padded(pinned[name]) for name in minimum} == {
        name: padded(version) for name, version in minimum.items()
    }


def padded(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, with zeros up to four."""
    numbers = [int(part) for part in version.split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))
