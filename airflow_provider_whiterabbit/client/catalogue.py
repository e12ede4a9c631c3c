"""White Rabbit's component catalogue: which components exist, and which input and config each component takes.

A component definition has the form that White Rabbit's own client reads: ``inputs.parameters`` is a list of ``{"name",
"schema"}``; ``configs`` is the schema of an object. A schema is a small subset of JSON Schema; this module ignores all
other keywords. White Rabbit's client takes every input as required, while a component's page may call some optional.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError, WhiteRabbitProtocolError

Definition = Mapping[str, Any]

IsOpen: TypeAlias = Callable[[Any, Any], bool]
"""Tells from a value and the name of its type whether the value is not known yet, so that it can't be checked."""


_MAX_COMPARED = 400
"""Pairs of names that are searched for similar ones: a comparison takes up to half a millisecond."""


def never_open(value: Any, type_name: Any) -> bool:
    """Return False: every value is known."""
    return False


OPTIONAL_INPUTS: Mapping[str, frozenset[str]] = {
    "GET_EVM_SAFE_ADDRESS": frozenset({"singletonAddress", "proxyFactoryAddress", "fallbackHandlerAddress"}),
}
"""The inputs that White Rabbit's component pages call optional, by module; the catalogue does not tell them apart."""


def definitions(catalogue: Any) -> list[dict[str, Any]]:
    """Check that White Rabbit's component catalogue is a list of component definitions, and return the list.

    :param catalogue: the JSON that White Rabbit answered.
    :raises WhiteRabbitProtocolError: if the catalogue is not a list of objects with a ``module`` each.
    """
    if not isinstance(catalogue, list) or not all(
        isinstance(definition, dict) and isinstance(definition.get("module"), str) for definition in catalogue
    ):
        raise WhiteRabbitProtocolError("component catalogue: expected a list of definitions with a 'module' each")
    return catalogue


def find(catalogue: Iterable[Definition], module: str) -> Definition:
    """Return a component's definition from the catalogue, if the component can be executed outside a workflow.

    :raises WhiteRabbitInputError: if the catalogue has no such component; the message suggests similar names.
    """
    by_module = {definition["module"]: definition for definition in catalogue}
    executable = {name: definition for name, definition in by_module.items() if is_executable(definition)}
    if module in executable:
        return executable[module]
    if module in by_module:
        raise WhiteRabbitInputError(f"module: {module!r} can't be executed on its own, only as a part of a workflow")
    raise WhiteRabbitInputError(f"module: White Rabbit has no component {module!r}{did_you_mean(module, executable)}")


def is_executable(definition: Definition) -> bool:
    """Return whether a component can be executed on its own; True if its definition does not say it."""
    modes = definition.get("executionModes")
    return not isinstance(modes, list) or "COMPONENT" in modes


def did_you_mean(module: str, modules: Iterable[str]) -> str:
    """Return a hint with similar component names for an error message; an empty string if no name is similar."""
    similar = difflib.get_close_matches(module.upper(), list(modules), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(similar)}?" if similar else ""


def validate(
    definition: Definition,
    inputs: Mapping[str, Any],
    config: Mapping[str, Any],
    is_open: IsOpen = never_open,
    place: str = "input",
) -> list[str]:
    """Check the input and the config of a component against the component's definition in the catalogue.

    Parts of the definition that have an undocumented form are ignored.

    :param is_open: tells which values can't be checked.
    :param place: what an error calls the input. Warnings call it ``input``: they are the same for many inputs.
    :returns: warnings, one for each input that is missing, because White Rabbit's catalogue does not tell which of them
        a component can do without, and for each input that the component does not have, which White Rabbit's own client
        ignores.
    :raises WhiteRabbitInputError: names every field that is wrong, such as ``input.amount`` or ``config.chain.id``, and
        every input that is not known but has nearly the name of a missing one.
    """
    schema = input_schema(definition)
    schemas = schema.get("properties", {})
    missing = [name for name in schemas if name not in inputs]
    unknown = sorted(str(name) for name in set(inputs) - set(schemas)) if "properties" in schema else []
    misspelt = _misspelt(unknown, missing)
    problems = [*find_problems(inputs, {**schema, "required": []}, place, is_open)]
    problems += [f"{place}.{name}: no such input; did you mean {meant}?" for name, meant in misspelt.items()]
    problems += find_problems(config, definition.get("configs"), "config", is_open)
    known = f"the inputs are {', '.join(schemas)}" if schemas else "the component has no inputs"
    required = set(schema["required"])
    warnings = [f"{name}: missing" if name in required else f"{name}: missing, but optional" for name in missing]
    warnings += [f"{name}: no such input; {known}" for name in unknown if name not in misspelt]
    if problems:
        raise WhiteRabbitInputError("; ".join([*problems, *(f"{place}.{warning}" for warning in warnings)]))
    return [f"input.{warning}" for warning in warnings]


def _misspelt(unknown: Sequence[str], missing: Sequence[str]) -> dict[str, str]:
    """Return for each unknown name that is nearly that of a missing input the latter."""
    plain = {_plain(name): name for name in missing}
    found = {name: plain[_plain(name)] for name in unknown if _plain(name) in plain}
    if len(unknown) * len(missing) <= _MAX_COMPARED:
        for name in unknown:
            if name not in found and (similar := difflib.get_close_matches(name, missing, n=1, cutoff=0.8)):
                found[name] = similar[0]
    return found


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")


def input_schema(definition: Definition) -> dict[str, Any]:
    """Return the schema of the object that holds a component's inputs; without properties if the form is unknown."""
    optional = OPTIONAL_INPUTS.get(definition["module"], frozenset())
    return _schema_of(_dict(definition.get("inputs")).get("parameters"), optional)


def output_schema(definition: Definition) -> dict[str, Any]:
    """Return the schema of a component's output; without properties if the definition names none."""
    return _schema_of(_dict(definition.get("outputs")).get("response") or None, frozenset())


def _schema_of(fields: Any, optional: Collection[str]) -> dict[str, Any]:
    """Return the schema of an object whose members a definition lists as ``{"name", "schema"}``."""
    if not isinstance(fields, list):
        return {"type": "object", "required": []}
    named = [field for field in map(_dict, fields) if isinstance(field.get("name"), str)]
    marked = {field["name"] for field in named if _is_optional(field)} | set(optional)
    properties = {field["name"]: field.get("schema") for field in named}
    required = [name for name in properties if name not in marked]
    return {"type": "object", "properties": properties, "required": required}


def _is_optional(parameter: Mapping[str, Any]) -> bool:
    """Return whether a parameter has a mark; White Rabbit documents none, so these are the two that schemas use."""
    return parameter.get("optional") is True or parameter.get("required") is False


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


_TYPE_CHECKS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    # An integer that a double can't hold must be a string, so that no digits are lost.
    "bigint": lambda value: (isinstance(value, int) and not isinstance(value, bool)) or _is_integer_text(value),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list | tuple),
}

TYPES = frozenset(_TYPE_CHECKS)
"""The types that schemas have."""


def _is_integer_text(value: Any) -> bool:
    return isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit()


def find_problems(
    value: Any, schema: Any, place: str, is_open: IsOpen = never_open, *, closed: bool = False
) -> list[str]:
    """Check a JSON value against a schema, and return one message per wrong field, with the field's path.

    :param is_open: tells which values can't be checked.
    :param closed: an object must not have other fields than the properties that its schema lists.
    """
    return _Checks(is_open, closed).problems(value, schema, place)


class _Checks(NamedTuple):
    is_open: IsOpen
    closed: bool

    def problems(self, value: Any, schema: Any, place: str) -> list[str]:
        schema = _dict(schema)
        type_name = schema.get("type")
        if self.is_open(value, type_name):
            return []
        if isinstance(type_name, str) and type_name in _TYPE_CHECKS and not _TYPE_CHECKS[type_name](value):
            return [f"{place}: expected {type_name}, got {type(value).__name__}"]
        enum = schema.get("enum")
        if isinstance(enum, list) and value not in enum:
            return [f"{place}: {value!r:.50} is not one of {', '.join(map(str, enum))}"]
        if isinstance(value, Mapping):
            return self._object_problems(value, schema, place)
        if isinstance(value, list | tuple):
            items = _dict(schema.get("items"))
            each = (self._item_problems(item, items, f"{place}[{index}]") for index, item in enumerate(value))
            return [problem for problems in each for problem in problems]
        return []

    def _object_problems(self, value: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> list[str]:
        required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
        problems = [f"{place}.{name}: required" for name in required if name not in value]
        properties = schema.get("properties")
        for name, property_schema in _dict(properties).items():
            if name in value:
                problems += self.problems(value[name], property_schema, f"{place}.{name}")
        if self.closed and isinstance(properties, dict):
            known = f"the fields are {', '.join(properties)}" if properties else "there are none"
            problems += [f"{place}.{name}: no such field; {known}" for name in value if name not in properties]
        return problems

    def _item_problems(self, item: Any, items_schema: Mapping[str, Any], place: str) -> list[str]:
        choices = _list(items_schema.get("anyOf"))
        if not choices:
            return self.problems(item, items_schema, place)
        problems_by_choice = [self.problems(item, choice, place) for choice in choices]
        return [] if [] in problems_by_choice else [f"{place}: matches none of the {len(choices)} allowed schemas"]
