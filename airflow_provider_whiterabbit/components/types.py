"""Writes the types of a component's input, config and output, as `TypedDict` classes and aliases of `Literal`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_whiterabbit.components import names
from airflow_provider_whiterabbit.components.source_text import literal, statement, text

GIVEN: Mapping[str, str] = {
    "string": "Text",
    "number": "Number",
    "bigint": "BigInt",
    "boolean": "Flag",
    "object": "Object",
}
"""The types of values in a DAG: a template, another task's output or the name of a secret may stand for a value."""

RETURNED: Mapping[str, str] = {
    "string": "str",
    "number": "float",
    "bigint": "int | str",
    "boolean": "bool",
    "object": "dict[str, Any]",
}
"""The types of values in an output."""


class TypeWriter:
    """Writes types into a module.

    :param used: gets the names that the types need and the module must import.
    """

    def __init__(self, used: set[str]) -> None:
        self.definitions: list[str] = []
        self._used = used
        self._taken: set[str] = set()

    def write(self, name: str, schema: Mapping[str, Any], docstring: str, *, given: bool) -> None:
        """Write the type of an object.

        :param given: whether a DAG gives the object, or White Rabbit returns it.
        """
        if "properties" not in schema or "" in schema["properties"]:  # pyright refuses an empty name
            self._used |= {"Any", "Mapping", "TypeAlias"}
            self.definitions.append(f'{name}: TypeAlias = Mapping[str, Any]\n"""{docstring}"""')
            return
        fields = {}
        for field, field_schema in schema["properties"].items():
            annotation = self._annotation(field_schema, name, field, given)
            if field not in schema["required"]:
                self._used.add("NotRequired")
                annotation = f"NotRequired[{annotation}]"
            fields[field] = annotation
        self._used.add("TypedDict")
        tokens = " ".join(fields.values())
        is_plain = all(names.is_plain(field, tokens) for field in fields)
        lines = _class(name, fields, docstring) if is_plain else _call(name, fields, docstring)
        self.definitions.append("\n".join(lines))

    def _annotation(self, schema: Mapping[str, Any], parent: str, field: str, given: bool) -> str:
        kind = schema.get("type")
        if "enum" in schema and not any(isinstance(value, float) for value in schema["enum"]):
            return self._either(self._literals(schema["enum"], parent, field), "Named" if given else "")
        if kind == "array":
            return self._array(schema.get("items", {}), parent, field, given)
        if kind == "object" and "properties" in schema:
            name = names.nested(parent, field, self._taken)
            self.write(name, schema, f"The field {names.camel_case(field, 'Field')} of `{parent}`.", given=given)
            return self._either(name, "Rendered" if given else "")
        return self._name((GIVEN if given else RETURNED).get(kind or "", "Any"))

    def _array(self, items: Mapping[str, Any], parent: str, field: str, given: bool) -> str:
        choices = items.get("anyOf") or [items]
        annotations = dict.fromkeys(self._annotation(choice, parent, f"{field} item", given) for choice in choices)
        inner = "Any" if "Any" in annotations else " | ".join(annotations)
        return f"{self._name('Items' if given else 'list')}[{inner}]"

    def _literals(self, values: list[Any], parent: str, field: str) -> str:
        name = names.nested(parent, field, self._taken)
        self._used |= {"Literal", "TypeAlias"}
        written = list(dict.fromkeys(map(literal, values)))
        if len(written) == 1:
            self.definitions.append(statement(f"{name}: TypeAlias = Literal[{written[0]}]"))
        else:
            lines = [f"{name}: TypeAlias = Literal[", *(f"    {value}," for value in written), "]"]
            self.definitions.append("\n".join(lines))
        return name

    def _either(self, name: str, other: str) -> str:
        return f"{name} | {self._name(other)}" if other else name

    def _name(self, annotation: str) -> str:
        self._used |= {annotation} & {*GIVEN.values(), "Any", "Items", "Named", "Rendered"}
        if annotation.endswith("Any]"):
            self._used.add("Any")
        return annotation


def _class(name: str, fields: Mapping[str, str], docstring: str) -> list[str]:
    members = [statement(f"    {field}: {annotation}") for field, annotation in fields.items()]
    return [f"class {name}(TypedDict):", f'    """{docstring}"""', *([""] if members else []), *members]


def _call(name: str, fields: Mapping[str, str], docstring: str) -> list[str]:
    """Return a definition with names that a class can't declare. The types are texts, so that they can come later."""
    members = [f"        {text(field)}: {text(annotation)}," for field, annotation in fields.items()]
    opening = [f"{name} = TypedDict(", f"    {text(name)},", "    {"]
    return [*opening, *members, "    },", ")", f'"""{docstring}"""']
