"""Writes the generated module: types and an operator class for each component."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from airflow_provider_whiterabbit.components.schemas import PARTS, Component
from airflow_provider_whiterabbit.components.source_text import literal, statement, words
from airflow_provider_whiterabbit.components.types import TypeWriter

HEAD = '"""Typed operators for White Rabbit\'s components.'
"""How each generated module begins."""

_BASE = "WhiteRabbitTypedOperator"

# No generated module holds the word that Airflow looks for in a file before it parses the file for workflows.
_MODULE = """{head}

Generated from the component catalogue sha256:{digest}
by python -m airflow_provider_whiterabbit.components generate, so change nothing here.
\"\"\"

# ruff: noqa

from __future__ import annotations

{imports}

{definitions}
"""

_OPERATOR = """class {stem}Operator({base}):
    \"\"\"{title}executes {module}.\"\"\"

{component}

    def __init__(
        self,
        *,
        input: {stem}Input | Whole{input_default},
        config: {stem}Config | Whole{config_default},
        **kwargs: Unpack[ComponentParameters],
    ) -> None:
        super().__init__(input=input, config=config, **kwargs)"""

_PLACES = (
    ("collections.abc", ("Mapping",)),
    ("typing", ("TYPE_CHECKING", "Any", "Literal", "NotRequired", "TypeAlias", "TypedDict", "Unpack")),
)
_TYPES = ("BigInt", "ComponentParameters", "Flag", "Items", "Named", "Number", "Object", "Rendered", "Text", "Whole")


def module_of(components: Collection[Component], stems: Mapping[str, str], digest: str) -> str:
    """Return the text of a module with the types and operators of components.

    :param stems: the beginnings of the names of classes, by the modules of the whole catalogue.
    :param digest: the catalogue's digest.
    """
    used = {"TYPE_CHECKING", "ComponentParameters", "Unpack", "Whole"} if components else set[str]()
    writer = TypeWriter(used)
    for component in components:
        stem, module = stems[component.module], words(component.module, 60)
        for part in PARTS:
            docstring = f"The {part} of {module}."
            writer.write(f"{stem}{part.capitalize()}", component.schemas[part], docstring, given=part != "output")
        writer.definitions.append(_operator(component, stem))
    definitions = "\n\n\n".join(writer.definitions)
    return _MODULE.format(head=HEAD, digest=digest, imports=_imports(used), definitions=definitions).rstrip() + "\n"


def _operator(component: Component, stem: str) -> str:
    title = words(component.title, 60)
    known: dict[str, Any] = {"module": component.module, **component.schemas}
    return _OPERATOR.format(
        stem=stem,
        base=_BASE,
        title=f"{title}: " if title else "",
        module=words(component.module, 60),
        component=statement(f"    _component = {literal(known)}"),
        input_default=_default(component, "input"),
        config_default=_default(component, "config"),
    )


def _default(component: Component, part: str) -> str:
    return "" if component.schemas[part].get("required") else " | None = None"


def _imports(used: set[str]) -> str:
    known = ((place, [name for name in names_of_place if name in used]) for place, names_of_place in _PLACES)
    blocks = ["\n".join(_import(place, found) for place, found in known if found)]
    if found := [name for name in _TYPES if name in used]:
        blocks.append(_import("airflow_provider_whiterabbit.operators.typed", [_BASE]))
        block = _import("airflow_provider_whiterabbit.operators.component_types", found)
        blocks.append("if TYPE_CHECKING:\n" + textwrap.indent(block, "    "))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _import(place: str, found: Sequence[str]) -> str:
    if len(found) == 1:
        return f"from {place} import {found[0]}"
    return "\n".join([f"from {place} import (", *(f"    {name}," for name in found), ")"])
