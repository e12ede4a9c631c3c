"""The component catalogue: what components there are, and what their inputs and config must be.

The form of a definition is as White Rabbit's own client reads it: ``inputs.parameters`` is a list of ``{"name",
"schema"}`` and every input is required; ``configs`` is an object schema. A schema is a small part of JSON Schema; what
it does not say is not checked.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError, WhiteRabbitProtocolError

Definition = Mapping[str, Any]


def definitions(data: Any) -> list[dict[str, Any]]:
    """Return the definitions of a catalogue.

    :raises WhiteRabbitProtocolError: if it is not a list of definitions.
    """
    if not isinstance(data, list) or not all(
        isinstance(one, dict) and isinstance(one.get("module"), str) for one in data
    ):
        raise WhiteRabbitProtocolError("component catalogue: expected a list of definitions with a 'module' each")
    return data


def find(catalogue: Iterable[Definition], module: str) -> Definition:
    """Return the definition of a module that can be executed on its own.

    :raises WhiteRabbitInputError: if there is none; says what may have been meant.
    """
    by_module = {one["module"]: one for one in catalogue}
    alone = {name: one for name, one in by_module.items() if _runs_alone(one)}
    if module in alone:
        return alone[module]
    if module in by_module:
        raise WhiteRabbitInputError(f"module: {module!r} can't be executed on its own, only as a part of a workflow")
    raise WhiteRabbitInputError(f"module: White Rabbit has no component {module!r}{did_you_mean(module, alone)}")


def _runs_alone(definition: Definition) -> bool:
    modes = definition.get("executionModes")
    return not isinstance(modes, list) or not modes or "COMPONENT" in modes


def did_you_mean(module: str, modules: Iterable[str]) -> str:
    """Return a suggestion to append to a message, or nothing where no name is close."""
    close = difflib.get_close_matches(module.upper(), list(modules), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def validate(definition: Definition, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check input and config against a definition; what it says in a form that is not documented is not checked.

    :raises WhiteRabbitInputError: names every field that is wrong, as ``input.amount`` or ``config.chain.id``.
    """
    parameters = _dict(definition.get("inputs")).get("parameters")
    known = [one for one in map(_dict, _list(parameters)) if isinstance(one.get("name"), str)]
    schemas = {one["name"]: one.get("schema") for one in known}
    of_inputs = {"type": "object", "properties": schemas, "required": list(schemas)}
    problems = [*_problems(inputs, of_inputs, "input"), *_problems(config, definition.get("configs"), "config")]
    if isinstance(parameters, list):
        unknown = sorted(str(name) for name in set(inputs) - set(schemas))
        problems += [f"input.{name}: no such input; there is {', '.join(schemas) or 'none'}" for name in unknown]
    if problems:
        raise WhiteRabbitInputError("; ".join(problems))


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    # Beyond what a double holds it has to be a string, so that no digit is lost on the way.
    "bigint": lambda value: (isinstance(value, int) and not isinstance(value, bool)) or _is_integer_text(value),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list | tuple),
}


def _is_integer_text(value: Any) -> bool:
    return isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit()


def _problems(value: Any, schema: Any, place: str) -> list[str]:
    schema = _dict(schema)
    kind = schema.get("type")
    if isinstance(kind, str) and kind in _TYPES and not _TYPES[kind](value):
        return [f"{place}: expected {kind}, got {type(value).__name__}"]
    enum = schema.get("enum")
    if isinstance(enum, list) and value not in enum:
        return [f"{place}: {value!r:.50} is none of {', '.join(map(str, enum))}"]
    if isinstance(value, Mapping):
        return _problems_of_object(value, schema, place)
    if isinstance(value, list | tuple):
        items = _dict(schema.get("items"))
        return [
            found for index, item in enumerate(value) for found in _problems_of_item(item, items, f"{place}[{index}]")
        ]
    return []


def _problems_of_object(value: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> list[str]:
    required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
    found = [f"{place}.{name}: required" for name in required if name not in value]
    for name, inner in _dict(schema.get("properties")).items():
        if name in value:
            found += _problems(value[name], inner, f"{place}.{name}")
    return found


def _problems_of_item(item: Any, items: Mapping[str, Any], place: str) -> list[str]:
    choices = _list(items.get("anyOf"))
    if not choices:
        return _problems(item, items, place)
    tried = [_problems(item, choice, place) for choice in choices]
    return [] if [] in tried else [f"{place}: fits none of the {len(choices)} forms that are allowed"]
