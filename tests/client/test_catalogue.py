"""The component catalogue: finding components, suggesting names, and validating input and config."""

from __future__ import annotations

import contextlib
import re
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client import catalogue
from airflow_provider_whiterabbit.emulator.world.components import BUILT_IN
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError, WhiteRabbitProtocolError
from tests.client.properties import examples

BRANCH = {"module": "BRANCH", "executionModes": ["WORKFLOW"]}


def definition(config: Any = None, **inputs: Any) -> dict[str, Any]:
    """Return a component definition.

    :param config: schema of the config.
    :param inputs: schemas of the inputs by name.
    """
    return {
        "name": "Pay",
        "module": "PAY",
        "executionModes": ["COMPONENT"],
        "inputs": {"parameters": [{"name": name, "schema": schema} for name, schema in inputs.items()]},
        "outputs": {"response": []},
        "configs": config or {"type": "object", "properties": {}, "required": []},
    }


def problems(schema: Any, value: Any) -> str:
    """Return the error message for the value of an input called x; an empty string for a valid value."""
    try:
        catalogue.validate(definition(x=schema), {"x": value}, {})
    except WhiteRabbitInputError as error:
        return str(error)
    return ""


# --- definitions and names


def test_definitions() -> None:
    """`definitions` returns a list of definitions unchanged."""
    data = [definition(), {"module": "BARE"}]
    assert catalogue.definitions(data) is data
    assert catalogue.definitions([]) == []


@pytest.mark.parametrize(
    "data", [None, {}, {"components": []}, "x", [None], [[]], [{}], [{"module": 7}], [{"module": None}]]
)
def test_no_definitions(data: Any) -> None:
    """A catalogue that is not a list of objects with a module is refused."""
    with pytest.raises(WhiteRabbitProtocolError, match="catalogue"):
        catalogue.definitions(data)


def test_find() -> None:
    """`find` returns the definition of a module."""
    assert catalogue.find(BUILT_IN, "RANDOM_UUID") is BUILT_IN[0]


@pytest.mark.parametrize("modes", [None, ["COMPONENT"], ["WORKFLOW", "COMPONENT"]])
def test_executable(modes: Any) -> None:
    """A component can be executed on its own, unless its `executionModes` exclude that."""
    assert catalogue.find([{"module": "PAY", "executionModes": modes}], "PAY")


@pytest.mark.parametrize("module", ["BRANCH", "NOTHING", "NOWHERE", "random_uuid", ""])
def test_not_found(module: str) -> None:
    """For a module that is unknown or runs only in workflows, the error names the module."""
    with pytest.raises(WhiteRabbitInputError, match=r"^module: .*") as caught:
        catalogue.find([*BUILT_IN, BRANCH, {"module": "NOTHING", "executionModes": []}], module)
    assert repr(module) in str(caught.value)


def test_workflow_only_is_said() -> None:
    """For a component that runs only in workflows, the error mentions workflows."""
    with pytest.raises(WhiteRabbitInputError, match="workflow"):
        catalogue.find([BRANCH], "BRANCH")


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("RANDOM_UID", "; did you mean RANDOM_UUID?"),
        ("random_uuid", "; did you mean RANDOM_UUID?"),
        ("Wait_For_EVM_Transactions", "; did you mean WAIT_FOR_EVM_TRANSACTION?"),
        ("XYZ", ""),
        ("", ""),
    ],
)
def test_did_you_mean(module: str, expected: str) -> None:
    """`did_you_mean` suggests names that are similar, whatever their case, and no others."""
    assert catalogue.did_you_mean(module, ["RANDOM_UUID", "WAIT_FOR_EVM_TRANSACTION", "SWAP"]) == expected


def test_did_you_mean_several() -> None:
    """`did_you_mean` suggests up to three names, the most similar first."""
    suggestion = catalogue.did_you_mean(
        "SWAP_TOKEN_A", ["SWAP_TOKEN_B", "SWAP_TOKEN_AA", "SWAP_TOKEN", "SWAP_TOKENS", "X"]
    )
    assert suggestion.startswith("; did you mean SWAP_TOKEN_AA or ")
    assert suggestion.count(" or ") == 2


# --- schemas

GOOD: list[Any] = [
    ({"type": "string"}, ""),
    ({"type": "string"}, "x"),
    ({"type": "number"}, 1),
    ({"type": "number"}, -1.5),
    ({"type": "bigint"}, 1),
    ({"type": "bigint"}, "123456789012345678901234567890"),
    ({"type": "bigint"}, "-5"),
    ({"type": "boolean"}, False),
    ({"type": "object"}, {}),
    ({"type": "object"}, {"anything": [None]}),
    ({"type": "object"}, MappingProxyType({"a": 1})),
    ({"type": "array"}, []),
    ({"type": "array"}, (1, "x", None)),
    ({"type": "array", "items": {"type": "number"}}, [1, 2.5]),
    ({"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "string"}]}}, [1, "x"]),
    ({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, [["x"], []]),
    ({"enum": ["BUY", "SELL"]}, "BUY"),
    ({"enum": [1, None]}, None),
    ({"type": "object", "properties": {"a": {"type": "string"}}}, {}),
    ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"a": "x", "more": 1}),
    pytest.param({"type": "date"}, object(), id="unknown type"),
    ({}, None),
    (None, 1),
    (True, 1),
]


@pytest.mark.parametrize(("schema", "value"), GOOD, ids=ascii)
def test_good(schema: Any, value: Any) -> None:
    """A value that the schema allows passes, and so does everything that the schema does not mention."""
    assert problems(schema, value) == ""


BAD: list[tuple[Any, Any, str]] = [
    ({"type": "string"}, 1, "input.x: expected string, got int"),
    ({"type": "string"}, None, "input.x: expected string"),
    ({"type": "number"}, "1", "input.x: expected number"),
    ({"type": "number"}, True, "input.x: expected number"),
    ({"type": "bigint"}, 1.5, "input.x: expected bigint"),
    ({"type": "bigint"}, "1.5", "input.x: expected bigint"),
    ({"type": "bigint"}, "--5", "input.x: expected bigint"),
    ({"type": "bigint"}, "-", "input.x: expected bigint"),
    ({"type": "bigint"}, "", "input.x: expected bigint"),
    ({"type": "bigint"}, "\u0661\u0662", "input.x: expected bigint"),
    ({"type": "bigint"}, True, "input.x: expected bigint"),
    ({"type": "boolean"}, 0, "input.x: expected boolean"),
    ({"type": "object"}, [], "input.x: expected object"),
    ({"type": "array"}, "abc", "input.x: expected array"),
    ({"type": "array"}, {}, "input.x: expected array"),
    ({"enum": ["BUY", "SELL"]}, "HOLD", "input.x: 'HOLD' is not one of BUY, SELL"),
    ({"type": "array", "items": {"type": "number"}}, [1, "x", 2, "y"], "input.x[1]: expected number, got str"),
    ({"type": "array", "items": {"type": "number"}}, [1, "x", 2, "y"], "input.x[3]: expected number, got str"),
    (
        {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "string"}]}},
        [1, True],
        "input.x[1]: matches none of the 2 allowed schemas",
    ),
    ({"type": "object", "required": ["a", "b"]}, {}, "input.x.a: required; input.x.b: required"),
    ({"type": "object", "properties": {"a": {"enum": [1]}}}, {"a": 2}, "input.x.a: 2 is not one of 1"),
    (
        {
            "type": "array",
            "items": {"type": "object", "properties": {"to": {"properties": {"id": {"type": "number"}}}}},
        },
        [{"to": {"id": 1}}, {"to": {"id": "x"}}],
        "input.x[1].to.id: expected number, got str",
    ),
]


@pytest.mark.parametrize(("schema", "value", "expected"), BAD, ids=ascii)
def test_bad(schema: Any, value: Any, expected: str) -> None:
    """For a value that the schema does not allow, the error names the field and the reason."""
    assert expected in problems(schema, value)


def test_every_problem_is_named() -> None:
    """One error names every wrong field of input and config."""
    wanted = definition(
        {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["m"]}, a={}, b={"type": "string"}
    )
    with pytest.raises(WhiteRabbitInputError) as caught:
        catalogue.validate(wanted, {"b": 1, "z": 1, "y": 2}, {"n": "x"})
    assert str(caught.value).split("; ", 4) == [
        "input.b: expected string, got int",
        "config.m: required",
        "config.n: expected number, got str",
        "input.a: missing",
        "input.y: no such input; the inputs are a, b; input.z: no such input; the inputs are a, b",
    ]


def test_unknown_inputs_are_warned_of() -> None:
    """An input that the component does not have is a warning, because White Rabbit ignores it."""
    assert catalogue.validate(definition(), {"x": 1}, {}) == [
        "input.x: no such input; the component has no inputs",
    ]
    assert catalogue.validate(definition(a={}, b={}), {"a": 1, "b": 2, "c": 3}, {}) == [
        "input.c: no such input; the inputs are a, b",
    ]


def test_missing_inputs() -> None:
    """A missing input is a warning, which says if the input's page calls it optional, or the catalogue marks it."""
    safe = definition(owners={"type": "array"}, singletonAddress={"type": "string"})
    assert catalogue.validate(safe, {"owners": []}, {}) == ["input.singletonAddress: missing"]
    safe["module"] = "GET_EVM_SAFE_ADDRESS"
    warnings = ["input.singletonAddress: missing, but optional"]
    assert catalogue.validate(safe, {"owners": []}, {}) == warnings
    assert catalogue.validate(safe, {}, {}) == ["input.owners: missing", *warnings]
    with pytest.raises(WhiteRabbitInputError, match=r"^input\.singletonAddress: expected string, got int$"):
        catalogue.validate(safe, {"owners": [], "singletonAddress": 1}, {})
    safe["module"] = "ANOTHER"
    for mark in ({"optional": True}, {"required": False}):
        safe["inputs"]["parameters"][1] = {"name": "singletonAddress", "schema": {}, **mark}
        assert catalogue.validate(safe, {"owners": []}, {}) == warnings
    for mark in ({"optional": "yes"}, {"required": True}, {"required": None}):
        safe["inputs"]["parameters"][1] = {"name": "singletonAddress", "schema": {}, **mark}
        assert catalogue.validate(safe, {"owners": []}, {}) == ["input.singletonAddress: missing"]


def test_misspelt_inputs() -> None:
    """An unknown input that has nearly the name of a missing one is an error: the component would not get it."""
    pay = definition(account={"type": "string"}, amount={"type": "string"})
    message = "input.acount: no such input; did you mean account?; input.account: missing"
    with pytest.raises(WhiteRabbitInputError, match=f"^{re.escape(message)}$"):
        catalogue.validate(pay, {"acount": "0x1", "amount": "1"}, {})
    in_a_list = message.replace("input.", "inputs[7].")
    with pytest.raises(WhiteRabbitInputError, match=f"^{re.escape(in_a_list)}$"):
        catalogue.validate(pay, {"acount": "0x1", "amount": "1"}, {}, place="inputs[7]")
    assert len(catalogue.validate(pay, {"acount": "0x1", "account": "0x1", "amount": "1"}, {})) == 1
    assert catalogue.validate(pay, {"account": "0x1"}, {}, place="inputs[7]") == ["input.amount: missing"]
    for wrong, right in (("TO", "to"), ("rpc_url", "rpcUrl"), ("userId", "user-id")):
        with pytest.raises(WhiteRabbitInputError, match=f"^input.{wrong}: no such input; did you mean {right}?"):
            catalogue.validate(definition(**{right: {}}), {wrong: "x"}, {})
    many = definition(**{f"aaaa{number}": {} for number in range(1000)})
    with pytest.raises(WhiteRabbitInputError, match=r"^input\.AAAA7: no such input; did you mean aaaa7\?; input"):
        catalogue.validate(many, {"AAAA7": 1, **{f"aaab{number}": 1 for number in range(1000)}}, {})


@pytest.mark.parametrize(
    "bare",
    [
        {"module": "PAY"},
        {"module": "PAY", "inputs": None, "configs": None},
        {"module": "PAY", "inputs": {}, "configs": {}},
        {"module": "PAY", "inputs": {"parameters": None}},
        {"module": "PAY", "inputs": {"parameters": [None, "x", {"schema": {}}]}},
    ],
    ids=ascii,
)
def test_bare_definition(bare: dict[str, Any]) -> None:
    """Parts that a definition leaves out are not checked."""
    catalogue.validate(bare, {}, {"anything": 1})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": ["string", "null"]}, "x"),
        ({"type": ["string", "null"]}, None),
        ({"type": {"a": 1}}, "x"),
        ({"type": "object", "required": True}, {}),
        ({"type": "object", "required": [["a"], {}]}, {}),
        ({"type": "object", "properties": ["a"]}, {"a": 1}),
        ({"type": "array", "items": {"anyOf": 7}}, [1]),
        ({"type": "array", "items": {"anyOf": {"type": "string"}}}, [1]),
        ({"type": "array", "items": [{"type": "string"}]}, ["x"]),
        ({"type": "array", "items": True}, ["x"]),
        ({"enum": "BUY"}, "BUY"),
    ],
    ids=ascii,
)
def test_schema_in_another_dialect(schema: Any, value: Any) -> None:
    """Keywords of JSON Schema that this package does not support are ignored."""
    assert problems(schema, value) == ""


@pytest.mark.parametrize(
    "odd",
    [
        {"inputs": [1]},
        {"inputs": "x"},
        {"inputs": {"parameters": 7}},
        {"inputs": {"parameters": {"a": {}}}},
        {"inputs": {"parameters": [{"name": ["a"]}]}},
        {"inputs": {"parameters": [{"name": 7}]}},
        {"configs": [1]},
        {"configs": 7},
    ],
    ids=ascii,
)
def test_definition_in_another_form(odd: dict[str, Any]) -> None:
    """A definition of an undocumented form causes no other error than `WhiteRabbitInputError`."""
    with contextlib.suppress(WhiteRabbitInputError):
        catalogue.validate({"module": "PAY", **odd}, {"a": 1}, {"b": 2})


@pytest.mark.parametrize("modes", [7, True, {"COMPONENT": 1}, "COMPONENT"])
def test_modes_in_another_form(modes: Any) -> None:
    """A component whose `executionModes` have an undocumented form can be found."""
    assert catalogue.find([{"module": "PAY", "executionModes": modes}], "PAY")


WORDS = st.sampled_from(
    ["type", "enum", "items", "anyOf", "properties", "required", "name", "schema", "parameters", "a", "b", "x"]
)
KINDS = st.sampled_from(["string", "number", "bigint", "boolean", "object", "array", "null"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | KINDS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=10,
)
SCHEMAS = st.recursive(
    st.fixed_dictionaries({"type": KINDS}) | JSON,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": KINDS | JSON,
            "enum": st.lists(JSON, max_size=3) | JSON,
            "items": inner | st.fixed_dictionaries({"anyOf": st.lists(inner, max_size=3) | JSON}),
            "properties": st.dictionaries(WORDS, inner, max_size=3) | JSON,
            "required": st.lists(WORDS, max_size=3) | JSON,
        },
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=4)


@given(schema=SCHEMAS, value=JSON)
@examples(150)
def test_any_schema(schema: Any, value: Any) -> None:
    """For any schema and any value, the value is accepted, or an error names its place."""
    message = problems(schema, value)
    assert not message or message.startswith("input.x")


@given(
    inputs=st.fixed_dictionaries(
        {"parameters": st.lists(st.fixed_dictionaries({"name": WORDS | JSON, "schema": SCHEMAS}), max_size=3)}
    )
    | JSON,
    configs=SCHEMAS,
    given_inputs=OBJECTS,
    config=OBJECTS,
)
@examples(150)
def test_any_definition(inputs: Any, configs: Any, given_inputs: dict[str, Any], config: dict[str, Any]) -> None:
    """For any definition, input and config are accepted or refused with `WhiteRabbitInputError`."""
    with contextlib.suppress(WhiteRabbitInputError):
        catalogue.validate({"module": "PAY", "inputs": inputs, "configs": configs}, given_inputs, config)


@given(data=JSON | st.lists(st.dictionaries(st.sampled_from(["module", "executionModes"]), JSON)), module=WORDS | KINDS)
@examples(150)
def test_any_catalogue(data: Any, module: str) -> None:
    """For any catalogue, a module is found, or an error of this package is raised."""
    with contextlib.suppress(WhiteRabbitInputError, WhiteRabbitProtocolError):
        assert catalogue.find(catalogue.definitions(data), module)["module"] == module
