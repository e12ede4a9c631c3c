"""Modules of a user's own are declared, and all others are refused."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit.client import catalogue
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from tests.emulator.api_client import CATALOGUE, COMPONENTS, ApiClient

SUBMISSION = '{"module":"RANDOM_UID","input":{},"config":{}}'


def test_a_misspelt_module_is_refused(wr: Emulator, client: ApiClient) -> None:
    """A submission of an unknown module answers 422, says how to declare one, and creates no execution."""
    refusal = client.post(COMPONENTS, SUBMISSION)
    assert refusal.status_code == 422
    (error,) = refusal.json()["errors"]
    assert error["message"].startswith("There is no component 'RANDOM_UID'.")
    assert "wr.component" in error["message"]
    assert wr.executions == []
    assert [entry.module for entry in wr.requests(module="RANDOM_UID")] == ["RANDOM_UID"]


def test_a_declared_module_is_executed(wr: Emulator, client: ApiClient) -> None:
    """A module that Python or HTTP declares is executed, until the emulator is reset."""
    wr.component("RANDOM_UID")
    client.control("components", {"module": "OF_HTTP", "inputs": {"amount": "bigint"}})
    assert client.submit("RANDOM_UID")["module"] == "RANDOM_UID"
    assert client.submit("OF_HTTP")["module"] == "OF_HTTP"
    wr.reset()
    assert client.post(COMPONENTS, SUBMISSION).status_code == 422


def test_modules_of_the_constructor_stay() -> None:
    """The modules that the constructor declares survive a reset."""
    with Emulator(components=["SWAP"]) as wr:
        wr.reset()
        assert ApiClient(wr).submit("SWAP")["module"] == "SWAP"
    with pytest.raises(TypeError, match="list of names"):
        Emulator(components="SWAP")


def test_the_definition_is_one_that_the_operator_checks(wr: Emulator) -> None:
    """The catalogue has the declared component with its inputs, outputs and config, as `validate` reads them."""
    side = {"type": "string", "enum": ["BUY", "SELL"]}
    wr.component(
        "SWAP",
        inputs={"amount": "bigint", "side": side, "memo": "string"},
        outputs={"hash": "string"},
        config={"slippage": "number", "route": "array"},
        optional=["memo"],
        required_config=["slippage"],
    )
    definitions = catalogue.definitions(requests.get(wr.url + CATALOGUE, timeout=60).json())
    definition = catalogue.find(definitions, "SWAP")
    assert definition.keys() == {"name", "module", "type", "executionModes", "inputs", "outputs", "configs"}
    assert definition["outputs"] == {"response": [{"name": "hash", "schema": {"type": "string"}}]}
    assert catalogue.validate(definition, {"amount": "1", "side": "BUY"}, {"slippage": 1}) == [
        "input.memo: missing, but optional"
    ]
    with pytest.raises(WhiteRabbitInputError) as caught:
        catalogue.validate(definition, {"amount": 1.5, "side": "HOLD"}, {})
    for part in ("input.amount: expected bigint", "input.side: 'HOLD'", "config.slippage: required"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"inputs": {"amount": "bigit"}},
        {"inputs": ["amount"]},
        {"inputs": {"amount": ["bigint"]}},
        {"config": {"a": None}},
        {"inputs": {"amount": "bigint"}, "optional": ["memo"]},
        {"inputs": {"amount": "bigint"}, "optional": "amount"},
        {"required_config": ["slippage"]},
        {"module": ""},
        {"module": 5},
    ],
    ids=str,
)
def test_wrong_declarations(wr: Emulator, arguments: dict[str, Any]) -> None:
    """A declaration with an unknown type, or with a name that it does not declare, is refused in Python and HTTP."""
    arguments = {"module": "SWAP_2", **arguments}
    with pytest.raises(ValueError, match="must be"):
        wr.component(**arguments)
    assert requests.post(f"{wr.url}/_emulator/components", json=arguments, timeout=60).status_code == 422
    assert "SWAP_2" not in requests.get(wr.url + CATALOGUE, timeout=60).text


def test_scripts_faults_and_requests_of_unknown_modules(wr: Emulator) -> None:
    """A script, a fault or a look-up for a module that does not exist raises, and suggests a similar name."""
    for misuse in (
        lambda: wr.script("RANDOM_UID", output=1),
        lambda: wr.fault(effects.Answer(503), module="RANDOM_UID"),
        lambda: wr.requests(module="RANDOM_UID"),
        lambda: wr.wait_for_request(module="RANDOM_UID", timeout=0.01),
    ):
        with pytest.raises(ValueError, match="Did you mean RANDOM_UUID"):
            misuse()
    wr.create_execution("RETIRED")  # an execution of a component that is gone
    assert wr.requests(module="RETIRED") == []


@pytest.mark.parametrize("change", [{"executionModes": 7}, {"module": 7}, {"module": ""}])
def test_a_definition_in_another_form(wr: Emulator, change: dict[str, Any]) -> None:
    """`add_component` refuses a definition with which a submission could not be answered."""
    definition = requests.get(wr.url + CATALOGUE, timeout=60).json()[0]
    with pytest.raises(ValueError, match="must be"):
        wr.add_component({**definition, **change})
    with pytest.raises(TypeError, match="JSON"):
        wr.add_component({**definition, "type": object()})
