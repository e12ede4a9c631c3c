"""The emulator's component catalogue: built-in component definitions, and component definitions that tests add.

White Rabbit's own catalogue is far longer. Only `RANDOM_UUID` and `WAIT_FOR_EVM_TRANSACTION` are White Rabbit modules;
the other modules are invented. Together they use every part of the schema language.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from airflow_provider_whiterabbit.emulator.world.declarations import check_definition, definition_of

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

HOW_TO_DECLARE = " (The emulator takes a module of your own if it is declared: wr.component(…), or POST catalogue.)"


class Catalogue:
    """The emulator's component definitions, one definition for each module.

    :param declared: modules of a user's own, which `clear` keeps.
    """

    def __init__(self, declared: Iterable[str] = ()) -> None:
        self._initial_definitions = (*BUILT_IN, *map(definition_of, declared))
        self._definitions: dict[str, Definition] = {}
        self.clear()

    def add(self, definition: Definition) -> None:
        """Add a component definition, or replace the module's existing definition.

        :raises ValueError: if a documented field is missing, or the module or its modes have another form.
        """
        check_definition(definition)
        self._definitions[definition["module"]] = definition

    def list(self) -> list[Definition]:
        """Return all component definitions."""
        return list(self._definitions.values())

    def refusal(self, module: str) -> str | None:
        """Return why a module can't be executed outside a workflow; None if it can."""
        if module not in self._definitions:
            return f"There is no component {module!r:.80}.{HOW_TO_DECLARE}"
        modes = self._definitions[module]["executionModes"]
        return None if "COMPONENT" in modes else f"{module} can only be used in a workflow"

    def check(self, module: str) -> None:
        """Raise `ValueError`, with similar names, for a module without a definition."""
        if module not in self._definitions:
            similar = get_close_matches(str(module).upper(), self._definitions, n=3)
            suggestion = f" Did you mean {' or '.join(similar)}?" if similar else ""
            raise ValueError(f"There is no component {module!r:.80}.{suggestion}{HOW_TO_DECLARE}")

    def clear(self) -> None:
        """Remove the component definitions that were added."""
        self._definitions = {definition["module"]: definition for definition in self._initial_definitions}
