"""Modules that the generator writes from catalogues of tests."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from airflow_provider_whiterabbit.components.command import main
from airflow_provider_whiterabbit.emulator.world.components import BUILT_IN

BUILT_IN_CATALOGUE = [dict(definition) for definition in BUILT_IN]


def definition(
    module: str = "PAY",
    inputs: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    optional: tuple[str, ...] = (),
    **others: Any,
) -> dict[str, Any]:
    """Return a component definition with these schemas by name; the fields of the config are required."""
    return {
        "name": "Pay",
        "module": module,
        "executionModes": ["COMPONENT"],
        "inputs": {
            "parameters": [
                {"name": name, "schema": schema, "optional": name in optional}
                for name, schema in (inputs or {}).items()
            ]
        },
        "outputs": {"response": [{"name": name, "schema": schema} for name, schema in (outputs or {}).items()]},
        "configs": {"type": "object", "properties": dict(config or {}), "required": list(config or {})},
        **others,
    }


def write_catalogue(folder: Path, *definitions: Any) -> Path:
    """Write a catalogue to a file."""
    path = folder / "catalogue.json"
    path.write_text(json.dumps(definitions))
    return path


def generate(folder: Path, *definitions: Any, name: str = "typed_pay") -> Path:
    """Generate a module from a catalogue, and return its path."""
    path = folder / f"{name}.py"
    main(["generate", "--file", str(write_catalogue(folder, *definitions)), "--output", str(path)])
    return path


def load(path: Path) -> ModuleType:
    """Import a generated module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def operator_of(folder: Path, *definitions: Any, name: str = "PayOperator") -> Any:
    """Return a class of a module that is generated from a catalogue."""
    return getattr(load(generate(folder, *definitions)), name)
