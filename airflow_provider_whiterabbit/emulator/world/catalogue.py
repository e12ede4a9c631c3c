"""The emulator's component catalogue: White Rabbit's components, and component definitions that tests add."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from airflow_provider_whiterabbit.emulator.world.components import BUILT_IN, Definition
from airflow_provider_whiterabbit.emulator.world.declarations import check_definition, definition_of

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
