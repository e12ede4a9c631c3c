"""The emulator's component catalogue: White Rabbit's components, and component definitions that tests add."""

from __future__ import annotations

from airflow_provider_whiterabbit.emulator.world.components import BUILT_IN, Definition

_REQUIRED = BUILT_IN[0].keys() - {"description"}


class Catalogue:
    """The emulator's component definitions, one definition for each module."""

    def __init__(self) -> None:
        self._definitions: dict[str, Definition] = {}
        self.clear()

    def add(self, definition: Definition) -> None:
        """Add a component definition, or replace the module's existing definition.

        :raises ValueError: if a documented field is missing.
        """
        missing = _REQUIRED - definition.keys()
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
