"""What users import, what databases store, and what people type stays where it is and takes what it took."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NewType

import pytest

from airflow_provider_whiterabbit import exceptions
from airflow_provider_whiterabbit.get_provider_info import CONFIG, CONN_FIELDS, get_provider_info

ROOT = Path(__file__).parents[1]
DOCUMENTED: dict[str, dict[str, dict[str, list[str]]]] = json.loads(
    (Path(__file__).parent / "vectors/public_api.json").read_text()
)
"""Modules → names → callables → parameters. An empty callable is the name itself, the others are its methods."""

ENTRIES = [(module, name) for module, names in DOCUMENTED["imports"].items() for name in names]


def parameters_of(function: Any) -> list[str]:
    """Return the parameters of a callable: ``name``, ``name=default``, ``*`` before those given by keyword alone."""
    found: list[str] = []
    keyword_only = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name.startswith("_"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            found.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        found.append(f"{stars}{parameter.name}{default}")
    return found


def callables_of(value: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield the names and parameters of what can be called in a value: itself, and a class's public methods."""
    if inspect.isclass(value):
        yield "", parameters_of(value) if inspect.isfunction(value.__init__) else []
        for name, member in inspect.getmembers(value):
            own = any(name in vars(base) for base in value.__mro__ if base.__module__.startswith("airflow_provider"))
            if own and not name.startswith("_"):
                yield name, parameters_of(member) if inspect.isroutine(member) and callable(member) else []
    elif callable(value) and not isinstance(value, NewType):
        yield "", parameters_of(value)


@pytest.mark.parametrize(("module", "name"), ENTRIES, ids=[f"{module}.{name}" for module, name in ENTRIES])
def test_import(module: str, name: str) -> None:
    """A documented name is where it was, with the methods and the parameters that it had, in their order."""
    value = getattr(importlib.import_module(f"airflow_provider_whiterabbit.{module}".rstrip(".")), name)
    found = dict(callables_of(value))
    for method, parameters in DOCUMENTED["imports"][module][name].items():
        assert method in found, method
        assert [parameter for parameter in found[method] if parameter in parameters] == parameters, method
        added = [parameter for parameter in found[method] if parameter not in parameters]
        assert all("=" in parameter or parameter.startswith("*") for parameter in added), (method, added)


def test_errors() -> None:
    """Each error is there, and is caught by those classes that caught it."""
    found = {name: value for name, value in vars(exceptions).items() if name.startswith("WhiteRabbit")}
    for name, bases in DOCUMENTED["errors"].items():
        assert set(bases) <= {base.__name__ for base in found[name].__mro__}, name


def test_provider_info() -> None:
    """Airflow finds the same modules, decorators, connection fields and options."""
    info = get_provider_info()
    for kind, modules in DOCUMENTED["provider"].items():
        assert set(modules) <= {name for group in info[kind] for name in group["python-modules"]}
    assert set(DOCUMENTED["task_decorators"]) <= {decorator["name"] for decorator in info["task-decorators"]}
    assert set(DOCUMENTED["connection_fields"]) <= set(CONN_FIELDS)
    assert set(DOCUMENTED["options"]) <= set(CONFIG["options"])


def test_make_targets() -> None:
    """What people type is still there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(DOCUMENTED["make"]) <= targets
