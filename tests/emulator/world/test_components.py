"""The built-in component definitions are those of White Rabbit's public pages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from airflow_provider_whiterabbit.emulator.world.components import BUILT_IN, sample_output

by_definition = pytest.mark.parametrize("definition", BUILT_IN, ids=lambda definition: definition["module"])

TYPES = {"string", "number", "bigint", "boolean", "object", "array"}
"""The types that White Rabbit's own client knows."""

TYPE_OF = {str: "string", int: "number"}


def schemas(definition: Any) -> dict[str, Any]:
    """Return all schemas of a definition by their names."""
    fields = [*definition["inputs"]["parameters"], *definition["outputs"]["response"]]
    return {**{field["name"]: field["schema"] for field in fields}, **definition["configs"]["properties"]}


@by_definition
def test_form(definition: Any) -> None:
    """A definition has the documented form, and its schemas have documented types."""
    documented = {"name", "module", "type", "executionModes", "inputs", "outputs", "configs"}
    assert definition.keys() == documented | {"description"}
    assert definition["executionModes"] == ["COMPONENT", "WORKFLOW"]
    assert set(definition["configs"]["required"]) <= definition["configs"]["properties"].keys()
    assert {schema["type"] for schema in schemas(definition).values()} <= TYPES


@by_definition
def test_guesses_are_told(definition: Any) -> None:
    """The description says what is guessed."""
    assert "Guessed: the name, the group and the execution modes" in definition["description"]
    assert definition["description"].endswith(".")


def test_no_guessed_words() -> None:
    """No word is refused because the list of the allowed words is a guess: the curves are not known."""
    (curve,) = [schemas(each)["curve"] for each in BUILT_IN if each["module"] == "GENERATE_KEY_SHARE"]
    assert curve == {"type": "string"}


@by_definition
def test_sample_output(definition: Any) -> None:
    """An execution without a script has an output of the form that the definition gives."""
    output = sample_output(definition["module"], {"not": "echoed"})
    response = {field["name"]: field["schema"]["type"] for field in definition["outputs"]["response"]}
    if definition["module"] == "DECODE_EVM_FUNCTION_RESULT":
        response = {"0": "string"}  # its outputs depend on the function
    assert {name: TYPE_OF[type(value)] for name, value in output.items()} == response


def test_other_outputs() -> None:
    """Each UUID is new, and a module of a user's own echoes its input."""
    first, second = (sample_output("RANDOM_UUID", {})["uuid"] for _ in range(2))
    assert UUID(first) != UUID(second)
    assert sample_output("MINE", {"a": 1}) == {"module": "MINE", "input": {"a": 1}}
