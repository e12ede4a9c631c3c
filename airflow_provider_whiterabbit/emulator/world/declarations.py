"""Definitions of a test's own components, in the form that the component catalogue has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, get_args

from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode

Type = Literal["string", "number", "bigint", "boolean", "object", "array"]
"""The types of values that the schemas of the component catalogue have."""

Schema = Type | Mapping[str, Any]
"""The schema of a value: the name of its type, or a schema as the component catalogue has it."""

_FIELDS = ("configs", "executionModes", "inputs", "module", "name", "outputs", "type")


def definition_of(
    module: str,
    inputs: Mapping[str, Schema] | None = None,
    outputs: Mapping[str, Schema] | None = None,
    config: Mapping[str, Schema] | None = None,
    optional: Collection[str] = (),
    required_config: Collection[str] = (),
) -> dict[str, Any]:
    """Return the definition of a component; `Emulator.component` describes the parameters and what is raised."""
    inputs, outputs, config = (_schemas(values) for values in (inputs, outputs, config))
    for names, known, name in ((optional, inputs, "optional"), (required_config, config, "required_config")):
        if isinstance(names, str) or not set(names) <= set(known):
            raise ValueError(f"{name} must be a list of names that are declared, not {names!r:.80}")
    parameters = [
        {"name": name, "schema": schema, **({"optional": True} if name in optional else {})}
        for name, schema in inputs.items()
    ]
    definition = {
        "name": module,
        "module": module,
        "type": "DECLARED",
        "executionModes": ["COMPONENT", "WORKFLOW"],
        "inputs": {"parameters": parameters},
        "outputs": {"response": [{"name": name, "schema": schema} for name, schema in outputs.items()]},
        "configs": {"type": "object", "properties": config, "required": list(required_config)},
    }
    check_definition(definition)
    return definition


def check_definition(definition: Mapping[str, Any]) -> None:
    """Check that a component definition can be sent to clients, and has what a submission needs.

    :raises ValueError: if it lacks a documented field, or its module or modes have another form.
    :raises TypeError: if it is not JSON.
    """
    encode(definition)
    missing = [name for name in _FIELDS if name not in definition]
    if missing:
        raise ValueError(f"the definition lacks {', '.join(missing)}")
    if not isinstance(definition["module"], str) or not definition["module"]:
        raise ValueError(f"module must be a non-empty string, not {definition['module']!r:.80}")
    if not isinstance(definition["executionModes"], list):
        raise ValueError(f"executionModes must be a list, not {definition['executionModes']!r:.80}")


def _schemas(schemas: Mapping[str, Schema] | None) -> dict[str, Mapping[str, Any]]:
    if not isinstance(schemas, Mapping | None):
        raise ValueError(f"inputs, outputs and config must be dicts of schemas by name, not {schemas!r:.80}")
    return {name: _schema(name, schema) for name, schema in (schemas or {}).items()}


def _schema(name: str, schema: Schema) -> Mapping[str, Any]:
    if isinstance(schema, Mapping):
        return schema
    if schema not in get_args(Type):
        raise ValueError(f"{name} must be one of {', '.join(get_args(Type))}, or a schema, not {schema!r:.80}")
    return {"type": schema}
