"""The example DAGs do what they say."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.e2e

HASH = "0x5c50…e3a1"


@pytest.fixture(scope="module")
def examples(airflow, wr):
    """Start all of them; return a function that waits for one."""
    receipts = {"output": lambda inputs, _config: {"receipt": {"hash": HASH, "fee": inputs["amount"]}}}
    wr.script("DEMO_TOKEN_SWAP", **receipts, after=1)
    wr.script("WAIT_FOR_EVM_TRANSACTION", output={"blockNumber": 21_345_678}, after=5)
    uuid, swap = {"module": "RANDOM_UUID"}, {"module": "DEMO_TOKEN_SWAP", "output": {"hash": HASH}, "after": 4}
    wr.script_workflow("demo", [uuid, swap])
    names = ("component", "fan_out", "workflow", "workflow_in_two_steps")
    runs = {name: airflow.run(f"whiterabbit_{name}") for name in names}

    def ended(name):
        run = runs[name]
        assert run.wait(180) == "success", airflow.explain(run)
        return run

    return ended


def test_component_hands_its_output_to_the_next(examples, wr):
    """The first ends within its submission, the second is deferred."""
    run = examples("component")
    assert run.xcom("report") == "in block 21345678"
    (wait,) = [entry for entry in wr.requests(kind="submit") if entry.json["module"] == "WAIT_FOR_EVM_TRANSACTION"]
    assert wait.json["input"] == {"transactionHash": HASH, "chainId": 1}
    assert not any("DEFERRED" in message for message in run.messages("swap"))
    assert any("DEFERRED" in message for message in run.messages("wait"))


def test_fan_out_collects_the_outputs_in_order(examples):
    """Each of the mapped tasks has its own execution."""
    run = examples("fan_out")
    assert run.xcom("hashes") == [HASH] * 3
    fees = [run.xcom("swap", map_index=number)["receipt"]["fee"] for number in range(3)]
    assert fees == ["1", "10", "100"]


@pytest.mark.parametrize("name", ["workflow", "workflow_in_two_steps"])
def test_workflow_hands_on_what_a_stage_put_out(examples, name):
    """Both ways to wait give the same record."""
    assert examples(name).xcom("receipt") == {"hash": HASH}
