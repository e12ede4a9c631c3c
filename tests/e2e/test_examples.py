"""End-to-end tests of the example DAGs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.airflow_settings import EXAMPLE_VARIABLES

pytestmark = [pytest.mark.e2e]

RECEIPT = {"status": "success"}

Ended = Callable[[str], DagRun]
"""A function that waits until the run of an example has succeeded, and returns the run."""


@pytest.fixture(scope="module")
def ended(airflow: AirflowHome, wr: Emulator) -> Ended:
    """Start all examples; return the function that waits for one of them."""
    wr.script("GET_EVM_ACCOUNT_BALANCE", output={"balance": "21"}, after=4)
    wr.script("WAIT_FOR_EVM_TRANSACTION", after=5)
    wr.script("READ_EVM_CONTRACT", output={"result": f"0x{5000:064x}"}, after=4)
    decoded = {"output": lambda inputs, _config: {"0": str(int(inputs["encodedResult"], 16))}}
    wr.script("DECODE_EVM_FUNCTION_RESULT", **decoded, after=4)
    uuid, wait = {"module": "RANDOM_UUID"}, {"module": "WAIT_FOR_EVM_TRANSACTION", "output": RECEIPT, "after": 4}
    wr.script_workflow("demo", [uuid, wait])
    names = ("component", "fan_out", "many", "workflow", "workflow_in_two_steps")
    runs = {name: airflow.run(f"whiterabbit_{name}") for name in names}

    def wait_for_success(name: str) -> DagRun:
        run = runs[name]
        assert run.wait(180) == "success", airflow.explain(run)
        return run

    return wait_for_success


def test_component_passes_its_output_to_the_next(ended: Ended, wr: Emulator) -> None:
    """A component gets another one's output; the first one is deferred, and the others end inline."""
    run = ended("component")
    assert run.xcom("report") == "5000 tokens"
    (wait,) = [entry for entry in wr.requests(kind="submit") if entry.json["module"] == "WAIT_FOR_EVM_TRANSACTION"]
    assert wait.json["input"].keys() == {"jsonRpcUrl", "transactionHash"}
    assert wait.json["input"]["jsonRpcUrl"] == EXAMPLE_VARIABLES["AIRFLOW_VAR_SECRET_RPC_URL"]
    assert any("DEFERRED" in message for message in run.messages("wait"))
    assert not any("DEFERRED" in message for message in run.messages("read"))


def test_fan_out_collects_the_outputs_in_order(ended: Ended) -> None:
    """Each mapped task has an execution of its own, and the outputs keep the order of the inputs."""
    run = ended("fan_out")
    assert run.xcom("numbers") == ["1", "10", "100"]
    assert [run.xcom("decode", map_index=number) for number in range(3)] == [{"0": "1"}, {"0": "10"}, {"0": "100"}]


def test_many_inputs_in_one_task(ended: Ended, wr: Emulator) -> None:
    """One deferred task submits all inputs that another task has returned, with the secret that they name."""
    run = ended("many")
    assert run.xcom("report") == "2 of 2 accounts have 42"
    submissions = [entry for entry in wr.requests(kind="submit") if entry.json["module"] == "GET_EVM_ACCOUNT_BALANCE"]
    assert {entry.json["input"]["jsonRpcUrl"] for entry in submissions} == {
        EXAMPLE_VARIABLES["AIRFLOW_VAR_SECRET_RPC_URL"]
    }


@pytest.mark.parametrize("name", ["workflow", "workflow_in_two_steps"])
def test_workflow_passes_on_the_output_of_a_stage(ended: Ended, name: str) -> None:
    """With operator and sensor alike, the next task gets the output of a stage."""
    assert ended(name).xcom("receipt") == RECEIPT
