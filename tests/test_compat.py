"""The names that have moved in Airflow are the same with every version of common-compat."""

from __future__ import annotations

import ast
import sys

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_whiterabbit import compat
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.reading import read_connection
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.docs.pages import ROOT

COMMON_COMPAT = "airflow.providers.common.compat"
NAMES = sorted(compat._PLACES)


def hide(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Let imports of a module of common-compat fail, as with a version that lacks it."""
    monkeypatch.setitem(sys.modules, f"{COMMON_COMPAT}.{module}", None)


@pytest.mark.parametrize("name", NAMES)
def test_same_without_common_compat(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that common-compat lacks is found in Airflow, and is the object that common-compat finds."""
    found = getattr(compat, name)
    hide(monkeypatch, "sdk")
    assert getattr(compat, name) is found


def test_names_for_type_checkers() -> None:
    """Type checkers know the same names as Python."""
    tree = ast.parse((ROOT / "airflow_provider_whiterabbit" / "compat.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    (imported,) = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert sorted(alias.name for alias in imported.names) == NAMES


def test_unknown_name() -> None:
    """Other names are not looked up."""
    assert not hasattr(compat, "Pool")


def test_versions() -> None:
    """The constants compare the version of the installed Airflow."""
    release = tuple(map(int, airflow_version.split(".")[:2]))
    for minor in range(4):
        assert getattr(compat, f"AIRFLOW_V_3_{minor}_PLUS") is (release >= (3, minor))


async def test_same_connection_without_common_compat(
    whiterabbit_emulator: Emulator, emulator_connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger reads the same settings from a connection without the functions of common-compat."""
    settings = await read_connection(WhiteRabbitHook(), "whiterabbit_default")
    assert (settings.api_key, settings.api_secret) == (whiterabbit_emulator.api_key, whiterabbit_emulator.api_secret)
    hide(monkeypatch, "connection")
    assert await read_connection(WhiteRabbitHook(), "whiterabbit_default") == settings
