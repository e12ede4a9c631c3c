"""The component catalogue: a few definitions in the documented form, and whatever is added to them.

White Rabbit's own list is far longer. Of these modules only `RANDOM_UUID` and `WAIT_FOR_EVM_TRANSACTION` are its own;
the others are made up. Between them they use every part of the schema language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Definition = Mapping[str, Any]

_STRING = {"type": "string"}
_NO_CONFIG: dict[str, Any] = {"type": "object", "properties": {}, "required": []}


def _fields(**schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "schema": schema} for name, schema in schemas.items()]


BUILT_IN: tuple[Definition, ...] = (
    {
        "name": "Random UUID",
        "module": "RANDOM_UUID",
        "type": "UTILITY",
        "executionModes": ["COMPONENT", "WORKFLOW"],
        "inputs": {"parameters": []},
        "outputs": {"response": _fields(uuid=_STRING)},
        "configs": _NO_CONFIG,
    },
    {
        "name": "Wait for EVM transaction",
        "module": "WAIT_FOR_EVM_TRANSACTION",
        "type": "EVM",
        "executionModes": ["COMPONENT", "WORKFLOW"],
        "inputs": {"parameters": _fields(transactionHash=_STRING, chainId={"type": "number"})},
        "outputs": {"response": _fields(blockNumber={"type": "bigint"}, success={"type": "boolean"})},
        "configs": {
            "type": "object",
            "properties": {"confirmations": {"type": "number"}, "timeoutMs": {"type": "number"}},
            "required": ["confirmations"],
        },
    },
    {
        "name": "Demo token swap",
        "module": "DEMO_TOKEN_SWAP",
        "type": "DEFI",
        "executionModes": ["COMPONENT", "WORKFLOW"],
        "inputs": {
            "parameters": _fields(
                amount={"type": "bigint"},
                side={"type": "string", "enum": ["BUY", "SELL"]},
                route={"type": "array", "items": {"anyOf": [_STRING, {"type": "number"}]}},
            )
        },
        "outputs": {
            "response": _fields(
                receipt={
                    "type": "object",
                    "properties": {"hash": _STRING, "fee": {"type": "bigint"}},
                    "required": ["hash"],
                }
            )
        },
        "configs": {"type": "object", "properties": {"slippage": {"type": "number"}}, "required": []},
    },
    {
        "name": "Demo branch",
        "module": "DEMO_BRANCH",
        "type": "FLOW",
        "executionModes": ["WORKFLOW"],
        "inputs": {"parameters": _fields(condition={"type": "boolean"})},
        "outputs": {"response": []},
        "configs": _NO_CONFIG,
    },
)


class Catalogue:
    """The definitions by module."""

    def __init__(self) -> None:
        self._definitions: dict[str, Definition] = {}
        self.clear()

    def add(self, definition: Definition) -> None:
        """Add a definition, or replace the one of the same module.

        :raises ValueError: if it lacks one of the documented fields.
        """
        missing = BUILT_IN[0].keys() - definition.keys()
        if missing:
            raise ValueError(f"the definition lacks {', '.join(sorted(missing))}")
        self._definitions[definition["module"]] = definition

    def list(self) -> list[Definition]:
        """Return all definitions."""
        return list(self._definitions.values())

    def allows_component(self, module: str) -> bool:
        """Tell whether the module may be executed on its own. A module that is not in the catalogue may."""
        definition = self._definitions.get(module)
        return definition is None or "COMPONENT" in definition["executionModes"]

    def clear(self) -> None:
        """Forget what was added."""
        self._definitions = {definition["module"]: definition for definition in BUILT_IN}
