"""End-to-end tests of the example DAGs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome

pytestmark = [pytest.mark.e2e]

HASH = "0x5c50…e3a1"

Ended = Callable[[str], DagRun]
"""A function that waits until the run of an example has succeeded, and returns the run."""


@pytest.fixture(scope="module")
def ended(airflow: AirflowHome, wr: Emulator) -> Ended:
    """Start all examples; return the function that waits for one of them."""
    receipts = {"output": lambda inputs, _config: {"receipt": {"hash": HASH, "fee": inputs["amount"]}}}
    wr.script("DEMO_TOKEN_SWAP", **receipts, after=4)
    wr.script("WAIT_FOR_EVM_TRANSACTION", output={"blockNumber": 21_345_678}, after=5)
    uuid, swap = {"module": "RANDOM_UUID"}, {"module": "DEMO_TOKEN_SWAP", "output": {"hash": HASH}, "after": 4}
    wr.script_workflow("demo", [uuid, swap])
    names = ("component", "fan_out", "workflow", "workflow_in_two_steps")
    runs = {name: airflow.run(f"whiterabbit_{name}") for name in names}

    def wait_for_success(name: str) -> DagRun:
        run = runs[name]
        assert run.wait(180) == "success", airflow.explain(run)
        return run

    return wait_for_success


def test_component_passes_its_output_to_the_next(ended: Ended, wr: Emulator) -> None:
    """The second component gets the first one's output; the first one ends inline and the second one is deferred."""
    run = ended("component")
    assert run.xcom("report") == "in block 21345678"
    (wait,) = [entry for entry in wr.requests(kind="submit") if entry.json["module"] == "WAIT_FOR_EVM_TRANSACTION"]
    assert wait.json["input"] == {"transactionHash": HASH, "chainId": 1}
    assert not any("DEFERRED" in message for message in run.messages("swap"))
    assert any("DEFERRED" in message for message in run.messages("wait"))


def test_fan_out_collects_the_outputs_in_order(ended: Ended) -> None:
    """Each mapped task has an execution of its own, and the outputs keep the order of the inputs."""
    run = ended("fan_out")
    assert run.xcom("hashes") == [HASH] * 3
    fees = [run.xcom("swap", map_index=number)["receipt"]["fee"] for number in range(3)]
    assert fees == ["1", "10", "100"]


@pytest.mark.parametrize("name", ["workflow", "workflow_in_two_steps"])
def test_workflow_passes_on_the_output_of_a_stage(ended: Ended, name: str) -> None:
    """With operator and sensor alike, the next task gets the output of a stage."""
    assert ended(name).xcom("receipt") == {"hash": HASH}
