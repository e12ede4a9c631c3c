"""The modules import each other in one direction, without circles. Lazy and type-checking imports count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import airflow_provider_whiterabbit

NAME = "airflow_provider_whiterabbit"
PACKAGE = Path(airflow_provider_whiterabbit.__file__).parent

LAYERS: tuple[tuple[str, ...], ...] = (
    ("client.known_secrets",),
    ("client.hiding", "client.text", "compat", "computed", "templates"),
    ("forked", "masking"),
    ("exceptions", "get_provider_info", "links", "observing", "own_fields", "parameters"),
    ("client.checks", "client.clock", "client.defaults", "client.naming", "printing", "secrets"),
    ("client.wire", "client.records"),
    ("client.api", "client.catalogue", "client.retry", "client.webhooks", "missing_values", "native"),
    ("templated",),
    ("client.wait", "deadlines"),
    ("client.transport",),
    ("operators.submission",),
    ("operators.fence",),
    ("operators.doubt",),
    ("receiver.settings",),
    ("receiver.address",),
    ("ending", "hooks"),
    ("assets", "triggers"),
    ("receiver", "waiting"),
    ("waiting_for_many",),
    ("sensors", "operators"),
    ("decorators",),
    ("components", "doubts"),
    ("cli",),
    ("emulator.plumbing",),
    ("emulator.world",),
    ("emulator.effects",),
    ("emulator.server",),
    ("emulator",),
)
"""From the bottom up. A module imports from its own room and from lower layers, not from its neighbours in a layer."""

EXCEPTIONS: set[tuple[str, str]] = set()
"""Imports that break the rule: (importing module, imported module). At most one may be here, with its reason."""


def modules() -> dict[str, Path]:
    """Return the paths of all modules, by their names within the package."""
    paths = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


MODULES = modules()


def imported_names(module: str) -> Iterator[str]:
    """Yield the full names that a module imports anywhere: of modules, and of what is imported from them."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imports_of(module: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    found = set()
    for name in imported_names(module):
        if name.startswith(f"{NAME}."):
            inner = name.removeprefix(f"{NAME}.")
            while inner and inner not in MODULES:
                inner = inner.rpartition(".")[0]
            found.add(inner)
    return found - {module, ""}  # the package itself holds the version


def place_of(module: str) -> tuple[int, str]:
    """Return the layer and the room of a module: those with the longest name that fits."""
    rooms = [
        (layer, room) for layer, names in enumerate(LAYERS) for room in names if f"{module}.".startswith(f"{room}.")
    ]
    return max(rooms, key=lambda place: len(place[1]))


@pytest.mark.parametrize("module", [module for module in MODULES if module not in ("", "client")])
def test_layers(module: str) -> None:
    """A module imports nothing of a higher layer, and nothing of another room of its own layer."""
    layer, room = place_of(module)
    for imported in imports_of(module):
        other_layer, other_room = place_of(imported)
        allowed = other_room == room or other_layer < layer or (module, imported) in EXCEPTIONS
        assert allowed, f"{module} ({room}) imports {imported} ({other_room})"


def test_no_circle() -> None:
    """No module imports itself by way of others."""
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module not in finished:
            for imported in sorted(imports_of(module)):
                visit(imported, (*path, module))
            finished.add(module)

    for module in MODULES:
        visit(module, ())


def test_exceptions_are_few() -> None:
    """At most one import breaks the rule, and it exists."""
    assert len(EXCEPTIONS) <= 1
    assert all(imported in imports_of(module) for module, imported in EXCEPTIONS)


@pytest.mark.parametrize("module", [module for module in MODULES if f"{module}.".startswith("client.")])
def test_client_knows_no_airflow(module: str) -> None:
    """The client can be used, and tested, without Airflow."""
    assert not [name for name in imported_names(module) if name.partition(".")[0] == "airflow"]
    assert "compat" not in imports_of(module)  # which passes on names of Airflow


@pytest.mark.parametrize("module", [module for module in MODULES if f"{module}.".startswith("emulator.")])
def test_emulator_shares_nothing_with_the_client(module: str) -> None:
    """The emulator imports only itself: a mistake that both sides shared would pass every test."""
    assert not [imported for imported in imports_of(module) if not f"{imported}.".startswith("emulator.")]


def test_the_rules_can_fail() -> None:
    """The graph sees lazy imports, imports for type checking, and imports of a module from its package."""
    assert "client.wait.followed" in imports_of("client.wait.target")  # within a function
    assert "client.records.execution" in imports_of("client.wait.target")  # under TYPE_CHECKING
    assert "client.checks" in imports_of("client.api")  # from its package
    assert place_of("receiver.address") < place_of("hooks.whiterabbit") < place_of("receiver.app")
