"""The component operator reads the component catalogue to suggest modules and to validate input."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.emulator.world.components import BUILT_IN
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.operators.remotes import component_operator

RPC = "https://rpc.example.org/v2/key"


@pytest.mark.parametrize("status", [400, 404, 422])
def test_suggestion(airflow: FakeAirflow, whiterabbit_emulator: Emulator, status: int) -> None:
    """The error for a refused module that the catalogue lacks holds the server's message and a similar module."""
    whiterabbit_emulator.fault(effects.Answer(status, {"code": "NO", "message": "unknown module"}), kind="submit")
    with fails_for_good(exc.WhiteRabbitResponseError, "unknown module") as caught:
        airflow.run(component_operator("RANDOM_UID"))
    assert "did you mean RANDOM_UUID" in str(caught.value)
    assert getattr(caught.value.__cause__, "status", None) == status
    assert airflow.store.record is None


@pytest.mark.parametrize(
    ("module", "status"), [("RANDOM_UUID", 422), ("SOMETHING_ELSE_ALTOGETHER", 422), ("RANDOM_UID", 403)]
)
def test_no_suggestion(airflow: FakeAirflow, whiterabbit_emulator: Emulator, module: str, status: int) -> None:
    """The error suggests no module if the module exists, if none is similar, or if the status is 403."""
    whiterabbit_emulator.fault(effects.Answer(status, {"code": "NO", "message": "no"}), kind="submit")
    with fails_for_good(exc.WhiteRabbitResponseError, "no") as caught:
        airflow.run(component_operator(module))
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        effects.Answer(500),
        effects.Answer(404),
        effects.Answer(200, "<html>"),
        effects.Answer(200, {"components": []}),
        effects.Answer(200, [{"module": 7}]),
        effects.Answer(200, [{"module": "RANDOM_UUID", "executionModes": 7}]),
        effects.Reset("answer"),
    ],
    ids=repr,
)
def test_unreadable_catalogue(airflow: FakeAirflow, whiterabbit_emulator: Emulator, fault: effects.Effect) -> None:
    """If the catalogue cannot be read, the error still holds the server's message about the submission."""
    whiterabbit_emulator.fault(effects.Answer(422, {"code": "NO", "message": "unknown module"}), kind="submit")
    whiterabbit_emulator.fault(fault, kind="catalogue", times=None)
    with fails_for_good(exc.WhiteRabbitInvalidRequestError, "unknown module"):
        airflow.run(component_operator("RANDOM_UID"))
    assert len(whiterabbit_emulator.requests(kind="catalogue")) == 1


@pytest.mark.parametrize(
    ("module", "arguments", "message_part"),
    [
        ("RANDOM_UID", {}, "did you mean RANDOM_UUID"),
        ("BRANCH", {"input": {}}, "BRANCH"),
        ("WAIT_FOR_EVM_TRANSACTION", {"input": {"jsonRpcUrl": RPC, "transactionHash": 5}}, "input.transactionHash"),
        ("DECODE_EVM_FUNCTION_RESULT", {"input": {"abi": ["x"], "encodedResult": "0x"}}, "input.abi[0]"),
        (
            "BROADCAST_BITCOIN_TRANSACTION",
            {"input": {"signedTransactoin": "00"}, "config": {"network": "testnet"}},
            "input.signedTransactoin: no such input; did you mean signedTransaction?",
        ),
        ("BROADCAST_BITCOIN_TRANSACTION", {"input": {"signedTransaction": "00"}}, "config.network: required"),
        (
            "BROADCAST_BITCOIN_TRANSACTION",
            {"input": {"signedTransaction": "00"}, "config": {"network": "main"}},
            "config.network: 'main' is not one of mainnet, testnet",
        ),
    ],
)
def test_invalid_input(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, module: str, arguments: dict[str, Any], message_part: str
) -> None:
    """With ``validate``, input that the catalogue forbids raises an error with its place and is not submitted."""
    whiterabbit_emulator.add_component({**BUILT_IN[0], "module": "BRANCH", "executionModes": ["WORKFLOW"]})
    with fails_for_good(exc.WhiteRabbitInputError) as caught:
        airflow.run(component_operator(module, validate=True, **arguments))
    assert message_part in str(caught.value)
    assert [entry.kind for entry in whiterabbit_emulator.journal] == ["catalogue"]
    assert not airflow.happened


def test_valid_input(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """With ``validate``, input that the catalogue allows is submitted, also for a component that a user added."""
    whiterabbit_emulator.add_component(
        {
            "name": "Pay",
            "module": "PAY",
            "type": "DEMO",
            "executionModes": ["COMPONENT"],
            "inputs": {"parameters": [{"name": "amount", "schema": {"type": "bigint"}}]},
            "outputs": {"response": []},
            "configs": {"type": "object", "properties": {}, "required": []},
        }
    )
    whiterabbit_emulator.script("PAY", output=1)
    assert airflow.run(component_operator(input={"amount": "1"}, validate=True, inline_wait=5)) == 1
    assert [entry.kind for entry in whiterabbit_emulator.journal] == ["catalogue", "submit"]


def test_warnings(airflow: FakeAirflow, whiterabbit_emulator: Emulator, read_log: Callable[[], str]) -> None:
    """With ``validate``, unknown and missing inputs are warned of, and the input is submitted."""
    inputs = {"amount": "bigint", "memo": "string", "token": "string"}
    whiterabbit_emulator.component("PAY", inputs=inputs, optional=["memo"])
    airflow.run(component_operator(input={"amount": 1, "x": 2}, validate=True, inline_wait=5))
    log = read_log()
    assert "Component PAY: input.memo: missing, but optional" in log
    assert re.search("Component PAY: input.token: missing(?!, but)", log)
    assert "Component PAY: input.x: no such input; the inputs are amount, memo, token" in log
    assert len(whiterabbit_emulator.requests(kind="submit")) == 1


def test_misspelt_module_without_validate(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A test of a DAG finds a misspelt module, because the emulator refuses it as White Rabbit does."""
    with fails_for_good(exc.WhiteRabbitResponseError, "There is no component 'RANDOM_UID'") as caught:
        airflow.run(component_operator("RANDOM_UID"))
    assert str(caught.value).count("did you mean RANDOM_UUID") == 1
    assert whiterabbit_emulator.executions == []


def test_retry_is_not_validated(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """With ``validate``, a retry waits for the earlier submission, although the catalogue lacks its module."""
    task = component_operator("UNHEARD_OF", validate=True)
    airflow.store.record = {"id": whiterabbit_emulator.create_execution("UNHEARD_OF", output=1)}
    assert airflow.run(task, 2) == 1
    assert not whiterabbit_emulator.requests(kind="catalogue")
