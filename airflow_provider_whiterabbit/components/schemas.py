"""What the generator knows of a component: its name, and the schemas of its input, config and output.

The schemas hold only what `client.catalogue` checks. What can't be sent as JSON, such as a name with half of an emoji,
is left out.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_whiterabbit.client import catalogue, checks
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

Schema = dict[str, Any]

PARTS = ("input", "config", "output")

_MAX_DEPTH = 20
"""What is nested deeper may be anything: Python limits the nesting of brackets, and type checkers that of types."""


@dataclass(frozen=True, slots=True)
class Component:
    """A component that can be executed on its own.

    :param module: the module's name.
    :param title: the component's name for people; empty if it has none.
    :param schemas: the schemas of `PARTS`, each of an object. A schema with ``properties`` lists all fields.
    """

    module: str
    title: str
    schemas: Mapping[str, Schema]


def components_of(definitions: Iterable[catalogue.Definition]) -> tuple[list[Component], list[str]]:
    """Return the components that can be executed on their own, by module, and the modules that no request can name."""
    by_module = {definition["module"]: definition for definition in definitions}  # as `catalogue.find`
    components, left_out = [], []
    for module, definition in sorted(by_module.items()):
        if not catalogue.is_executable(definition):
            continue
        try:
            components.append(_component(checks.module(module), definition))
        except WhiteRabbitInputError:
            left_out.append(module)
    return components, left_out


def digest(definitions: Iterable[catalogue.Definition]) -> str:
    """Return the digest of a catalogue, in which the order of the definitions does not count."""
    texts = sorted(json.dumps(definition, sort_keys=True) for definition in definitions)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _component(module: str, definition: catalogue.Definition) -> Component:
    title = definition.get("name")
    found = {
        "input": catalogue.input_schema(definition),
        "config": definition.get("configs"),
        "output": catalogue.output_schema(definition),
    }
    schemas = {part: normal_part(schema, part) for part, schema in found.items()}
    return Component(module, title if isinstance(title, str) else "", schemas)


def normal_part(schema: Any, part: str) -> Schema:
    """Return the schema of one of the `PARTS` with what is checked, and nothing else."""
    return _object({"type": "object"}, schema, in_order=part == "config")


def normal(schema: Any, depth: int = _MAX_DEPTH) -> Schema:
    """Return a schema with what is checked, and nothing else; an empty one for any value."""
    if not isinstance(schema, dict) or depth == 0:
        return {}
    kept: Schema = {}
    if isinstance(type_name := schema.get("type"), str) and type_name in catalogue.TYPES:
        kept["type"] = type_name
    enum = schema.get("enum")
    if isinstance(enum, list) and all(map(_is_scalar, enum)) and any(map(_is_sendable, enum)):
        kept["enum"] = [value for value in enum if _is_sendable(value)]
    if kept.get("type") == "array" and isinstance(items := schema.get("items"), dict):
        if isinstance(choices := items.get("anyOf"), list) and choices:
            kept["items"] = {"anyOf": [normal(choice, depth - 1) for choice in choices]}
        else:
            kept["items"] = normal(items, depth - 1)
    if kept.get("type") == "object" and isinstance(schema.get("properties"), dict) and schema["properties"]:
        return _object(kept, schema, depth)
    return kept


def _object(kept: Schema, schema: Any, depth: int = _MAX_DEPTH, *, in_order: bool = True) -> Schema:
    """Return the schema of an object with its properties, if it lists any or says that there are none.

    :param in_order: sort the properties: the members of a JSON object have no order. A definition lists inputs and
        outputs in an array, which has one.
    """
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return kept
    named = schema.get("required")
    required = {name for name in named if isinstance(name, str)} if isinstance(named, list) else set()
    every = [*properties, *sorted(required - properties.keys())]
    names = [name for name in (sorted(every) if in_order else every) if _is_sendable(name)]
    return {
        **kept,
        "properties": {name: normal(properties.get(name), depth - 1) for name in names},
        "required": [name for name in names if name in required],
    }


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value))


def _is_sendable(value: Any) -> bool:
    """Return whether a value is no text with a lone surrogate, which is not valid Unicode."""
    return not isinstance(value, str) or value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
