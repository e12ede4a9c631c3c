"""The README says truly what works on which Airflow; each version's column is compared where that version runs."""

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
from airflow_provider_whiterabbit.ending import obstacles as triggerer_path
from airflow_provider_whiterabbit.receiver.plugin import WhiteRabbitPlugin
from tests import versions
from tests.docs.pages import ROOT, tables

RUNNING = ".".join(airflow_version.split(".")[:2])
TABLE = next(table for table in tables("README.md") if "3.3" in table[0])
VERSIONS = TABLE[0][1:]
ROWS = {row[0]: dict(zip(VERSIONS, row[1:], strict=True)) for row in TABLE[1:]}


def has_waits() -> bool:
    """Import what the other rows don't speak of."""
    names = ("hooks.whiterabbit", "operators.component", "operators.workflow", "sensors.execution", "sensors.workflow")
    return all(importlib.import_module(f"airflow_provider_whiterabbit.{name}") for name in names)


def has_store() -> bool:
    """Return whether there is what the operators' fence writes with."""
    return bool(find_spec("airflow.sdk")) and hasattr(
        importlib.import_module("airflow.sdk.execution_time.context"), "NEVER_EXPIRE"
    )


def has_receiver() -> bool:
    """Return whether the plugin serves something where it is asked to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS", "a")
        return bool(WhiteRabbitPlugin().fastapi_apps)


def has_run_each() -> bool:
    """Return whether the schedule for it is more than the asset."""
    asset = assets.module("PAY")
    return has_receiver() and assets.each(asset) is not asset


def has_triggerer_path() -> bool:
    """Return whether this Airflow is no reason against it."""
    return not list(triggerer_path.of_version())


def has_trigger_kill() -> bool:
    """Return whether Airflow calls what our triggers say then."""
    return hasattr(BaseTrigger, "on_kill")


FEATURES: dict[str, Callable[[], bool]] = {
    "Hook, operators, sensors": has_waits,
    "A retry finds": has_store,
    "Callbacks": has_receiver,
    "A run for each": has_run_each,
    "Tasks that start or end": has_triggerer_path,
    "A task that is killed": has_trigger_kill,
}
"""What the code says of the rows that begin so."""


@pytest.mark.parametrize("beginning", FEATURES)
def test_feature(beginning: str) -> None:
    """The table says yes where the code does, and no, with a note that gives the reason, where it does not."""
    (row,) = [cells for title, cells in ROWS.items() if title.lstrip("[").startswith(beginning)]
    said = re.fullmatch(r"yes(?:, from .+ on)?|no \((\d)\)", row[RUNNING])
    assert said is not None
    assert (said[1] is None) is FEATURES[beginning]()
    if said[1]:
        assert f"\n{said[1]}. " in (ROOT / "README.md").read_text()


def test_every_row_is_compared() -> None:
    """No row says something that nobody checks."""
    titles = [title.lstrip("[") for title in ROWS if title not in ("Tested version", "Python")]
    assert len(titles) == len(FEATURES)
    assert all(title.startswith(tuple(FEATURES)) for title in titles)


def test_tests_are_skipped_for_the_same_reasons() -> None:
    """What tests skip is what the code can't do here."""
    assert has_store() is versions.HAS_STORE
    assert has_receiver() is versions.HAS_RECEIVER
    assert has_run_each() is versions.HAS_RUN_EACH
    assert has_triggerer_path() is versions.HAS_TRIGGERER_PATH is (Version(airflow_version) >= Version("3.3.1"))
    assert bool(find_spec("airflow.sdk")) is versions.HAS_SDK


def pythons() -> dict[str, tuple[str, ...]]:
    """Return the Pythons of each Airflow in the matrix, without nox, which has an environment of its own."""
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PYTHONS":
            found: dict[str, tuple[str, ...]] = ast.literal_eval(node.value)
            return found
    raise AssertionError("the noxfile has no PYTHONS")


def test_pythons() -> None:
    """Those of the table are those of the matrix, and all of them together those of the package's metadata."""
    assert {version: tuple(cell.split(", ")) for version, cell in ROWS["Python"].items()} == pythons()
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert sorted(set().union(*pythons().values())) == classifiers
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in pythons()[RUNNING]


def test_tested_versions() -> None:
    """They are those of the constraints, and this is one of them or the lowest that is allowed."""
    for version, tested in ROWS["Tested version"].items():
        pins = (ROOT / "constraints" / f"airflow-{version}.txt").read_text()
        assert f"\napache-airflow=={tested}\n" in pins
    lowest = re.search(r'"apache-airflow>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert lowest is not None
    assert airflow_version in (ROWS["Tested version"][RUNNING], lowest[1])


def test_lowest_versions() -> None:
    """The constraints of the lowest versions pin each dependency to what pyproject.toml allows at least."""
    text = (ROOT / "pyproject.toml").read_text()
    required = dict(re.findall(r'^    "([\w-]+)>=([\d.]+)",$', text.partition("[dependency-groups]")[0], re.MULTILINE))
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "constraints" / "lowest.txt").read_text(), re.MULTILINE))
    assert "apache-airflow" in required
    assert {name: padded(pinned[name]) for name in required} == {name: padded(at) for name, at in required.items()}


def padded(version: str) -> tuple[int, ...]:
    """Return a version's numbers, four of them."""
    numbers = [int(part) for part in version.split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))
