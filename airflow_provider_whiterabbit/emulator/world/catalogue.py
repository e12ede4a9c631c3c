"""The emulator's component catalogue: built-in component definitions, and component definitions that tests add.

White Rabbit's own catalogue is far longer. Only `RANDOM_UUID` and `WAIT_FOR_EVM_TRANSACTION` are White Rabbit modules;
the other modules are invented. Together they use every part of the schema language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Definition = Mapping[str, Any]
Schemas = Mapping[str, Mapping[str, Any]]

_STRING, _NUMBER = {"type": "string"}, {"type": "number"}
_BIGINT, _BOOLEAN = {"type": "bigint"}, {"type": "boolean"}


def _definition(
    name: str,
    module: str,
    group: str,
    inputs: Schemas,
    outputs: Schemas,
    config: Schemas,
    required: Sequence[str] = (),
) -> dict[str, Any]:
    return {
        "name": name,
        "module": module,
        "type": group,
        "executionModes": ["COMPONENT", "WORKFLOW"],
        "inputs": {"parameters": [{"name": field, "schema": schema} for field, schema in inputs.items()]},
        "outputs": {"response": [{"name": field, "schema": schema} for field, schema in outputs.items()]},
        "configs": {"type": "object", "properties": dict(config), "required": list(required)},
    }


_ROUTE = {"type": "array", "items": {"anyOf": [_STRING, _NUMBER]}}
_SIDE = {"type": "string", "enum": ["BUY", "SELL"]}
_RECEIPT = {"type": "object", "properties": {"hash": _STRING, "fee": _BIGINT}, "required": ["hash"]}

BUILT_IN: tuple[Definition, ...] = (
    _definition("Random UUID", "RANDOM_UUID", "UTILITY", {}, {"uuid": _STRING}, {}),
    _definition(
        "Wait for EVM transaction",
        "WAIT_FOR_EVM_TRANSACTION",
        "EVM",
        inputs={"transactionHash": _STRING, "chainId": _NUMBER},
        outputs={"blockNumber": _BIGINT, "success": _BOOLEAN},
        config={"confirmations": _NUMBER, "timeoutMs": _NUMBER},
        required=["confirmations"],
    ),
    _definition(
        "Demo token swap",
        "DEMO_TOKEN_SWAP",
        "DEFI",
        inputs={"amount": _BIGINT, "side": _SIDE, "route": _ROUTE},
        outputs={"receipt": _RECEIPT},
        config={"slippage": _NUMBER},
    ),
    _definition("Demo branch", "DEMO_BRANCH", "FLOW", {"condition": _BOOLEAN}, {}, {})
    | {"executionModes": ["WORKFLOW"]},
)


class Catalogue:
    """The emulator's component definitions, one definition for each module."""

    def __init__(self) -> None:
        self._definitions: dict[str, Definition] = {}
        self.clear()

    def add(self, definition: Definition) -> None:
        """Add a component definition, or replace the module's existing definition.

        :raises ValueError: if a documented field is missing.
        """
        missing = BUILT_IN[0].keys() - definition.keys()
        if missing:
            raise ValueError(f"the definition lacks {', '.join(sorted(missing))}")
        self._definitions[definition["module"]] = definition

    def list(self) -> list[Definition]:
        """Return all component definitions."""
        return list(self._definitions.values())

    def allows_component(self, module: str) -> bool:
        """Return whether a module may be executed outside a workflow. A module without a definition is allowed."""
        definition = self._definitions.get(module)
        return definition is None or "COMPONENT" in definition["executionModes"]

    def clear(self) -> None:
        """Remove the component definitions that were added."""
        self._definitions = {definition["module"]: definition for definition in BUILT_IN}
