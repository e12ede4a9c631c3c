"""Misuse of the emulator is told where it is written; time-outs say what was awaited and what came."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator, Script, effects
from airflow_provider_whiterabbit.emulator.world.settings import Settings
from tests.emulator.api_client import EXECUTIONS, ApiClient


@pytest.mark.parametrize(
    ("choice", "problem"),
    [
        ({"kind": "submits"}, "kind must be one of submit"),
        ({"method": "post"}, "upper case"),
        ({"path": "v1/sdk/components"}, "starts with /"),
        ({"path": ""}, "starts with /"),
    ],
)
def test_a_choice_that_nothing_matches(wr: Emulator, choice: dict[str, Any], problem: str) -> None:
    """`requests`, `wait_for_request` and `fault` refuse a description that no request can match."""
    for misuse in (
        lambda: wr.requests(**choice),
        lambda: wr.wait_for_request(**choice),
        lambda: wr.fault(effects.Answer(503), **choice),
    ):
        with pytest.raises(ValueError, match=problem):
            misuse()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("503",), "needs an effect, such as effects.Answer"),
        ((503,), "needs an effect"),
        ((effects.Reset,), "needs an effect"),
        ((effects.Reset(), {"times": "2"}), "whole numbers"),
        ((effects.Reset(), {"skip": True}), "whole numbers"),
        ((effects.Reset(), {"where": "module"}), "where must be a function"),
        ((effects.Reset(), {"path": 5}), "path must be text"),
    ],
    ids=str,
)
def test_a_fault_of_the_wrong_shape(wr: Emulator, client: ApiClient, arguments: Any, problem: str) -> None:
    """A fault of the wrong shape raises `TypeError`, and does not disturb later requests."""
    effect, *options = arguments
    with pytest.raises(TypeError, match=problem):
        wr.fault(effect, **(options[0] if options else {}))
    client.submit()


@pytest.mark.parametrize(
    "write",
    [
        lambda wr: wr.script("PAY", {"output": 1}),
        lambda wr: wr.script("PAY", [Script()]),
        lambda wr: wr.script("PAY", Script(), None),
        lambda wr: wr.script("PAY", outptu=1),
        lambda wr: wr.script("PAY", after="2"),
        lambda wr: wr.script("PAY", after=True),
        lambda wr: wr.script("PAY", polls=1.5),
        lambda wr: wr.script("PAY", usage=None),
        lambda wr: wr.script("PAY", manual="yes"),
        lambda wr: wr.script("PAY", output=lambda: 1),
        lambda wr: wr.script("PAY", output=lambda _inputs: 1),
        lambda wr: wr.script_workflow("flow", {"module": "PAY"}),
        lambda wr: wr.script_workflow("flow", ["PAY"]),
        lambda wr: wr.script_workflow("flow", [{"module": "PAY", "outptu": 1}]),
    ],
)
def test_a_script_of_the_wrong_shape(wr: Emulator, client: ApiClient, write: Callable[[Emulator], object]) -> None:
    """A script of the wrong shape raises `TypeError` where it is written, and submissions are answered."""
    with pytest.raises(TypeError):
        write(wr)
    assert client.submit("PAY", waitForMs=10_000)["status"] == "COMPLETED"


@pytest.mark.parametrize("options", [{"after": float("nan")}, {"after": float("inf")}, {"usage": -1}])
def test_impossible_numbers(wr: Emulator, options: dict[str, Any]) -> None:
    """A number that is no time raises `ValueError`."""
    with pytest.raises(ValueError, match="at least 0"):
        wr.script("PAY", **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("require_signature", "no"),
        ("unsigned_streams", 1),
        ("empty_body_signature", "none"),
        ("allowed_workflows", "flow-1"),
        ("streams", {"retry": 1}),
        ("callback_attempts", 0),
        ("callback_backoff", -1),
        ("callback_signature", "X-Signature"),
        ("clock_offset", "2 minutes"),
        ("clock_offset", float("nan")),
        ("max_body", -1),
        ("max_body", 1e6),
    ],
)
def test_a_setting_of_the_wrong_shape(wr: Emulator, client: ApiClient, name: str, value: Any) -> None:
    """A setting of a wrong shape raises `ValueError` where it is written, and requests are answered."""
    with pytest.raises(ValueError, match=f"^{name} must be"):
        setattr(wr.settings, name, value)
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Settings(**{name: value})
    client.submit("PAY")


@pytest.mark.parametrize("retry", [-1, 1.5, "3000"])
def test_a_stream_option_of_the_wrong_shape(wr: Emulator, retry: Any) -> None:
    """A line ``retry:`` holds an integer alone."""
    with pytest.raises(ValueError, match=r"^retry must be"):
        wr.stream_options(retry=retry)


def test_output_functions(wr: Emulator, client: ApiClient) -> None:
    """Every function that can be called with two arguments is an output, also one without a signature."""
    for function in (max, lambda *arguments: len(arguments), lambda inputs, config, _more=1: [inputs, config], dict):
        wr.script("PAY", output=function)
        client.submit("PAY", waitForMs=10_000)


@pytest.mark.parametrize(
    "call",
    [
        lambda wr: wr.create_execution("PAY"),
        lambda wr: wr.create_run("demo"),
        lambda wr: wr.reset(),
        lambda wr: wr.pause(),
        lambda wr: wr.resume(),
        lambda wr: wr.wait_for_request(),
    ],
)
def test_what_needs_a_running_emulator(call: Callable[[Emulator], object]) -> None:
    """What needs a running emulator says so."""
    with pytest.raises(RuntimeError, match=r"needs a running emulator: use it as a context manager, or call start_"):
        call(Emulator(components=["PAY"]))


def test_a_stopped_emulator() -> None:
    """A stopped emulator can end an execution, unless the execution has a callback; stages need a running one."""
    with Emulator(require_signature=False) as emulator:
        execution_id = emulator.create_execution("PAY", manual=True)
        run = emulator.create_run("demo")
        body = {"module": "RANDOM_UUID", "input": {}, "config": {}, "callbackUrl": "https://localhost/x"}
        emulator.script("RANDOM_UUID", manual=True)
        headers = {"X-Api-Key": emulator.api_key}
        submission = requests.post(f"{emulator.url}/v1/sdk/components", json=body, headers=headers, timeout=60)
    emulator.complete(execution_id, 1)
    assert emulator.execution(execution_id)["output"] == 1
    for call in (lambda: emulator.complete(submission.json()["id"]), lambda: emulator.start_stage(run, 0)):
        with pytest.raises(RuntimeError, match="needs a running emulator"):
            call()
    assert emulator.execution(submission.json()["id"])["status"] == "CREATED"


def test_the_time_out_of_a_request(wr: Emulator, client: ApiClient) -> None:
    """A time-out names the requests that were awaited, and those that came."""
    with pytest.raises(TimeoutError, match=re.escape("waited for 1 request(s), and 0 came. All requests so far: none")):
        wr.wait_for_request(timeout=0.01)
    execution_id = client.submit("PAY")["id"]
    for _ in range(3):
        client.record(execution_id)
    with pytest.raises(TimeoutError) as caught:
        wr.wait_for_request(kind="submit", module="PAY", count=2, timeout=0.01)
    assert str(caught.value) == (
        "After 0.01 s: waited for 2 request(s) with kind='submit', module='PAY', and 1 came. All requests so far: "
        "1 x POST /v1/sdk/components (submit, PAY): 200; "
        f"3 x GET {EXECUTIONS}/{execution_id} (record, PAY): 200."
    )


def test_a_long_journal_is_cut(wr: Emulator, client: ApiClient) -> None:
    """The text of a time-out shows the latest requests, and how many lines it leaves out."""
    for number in range(12):
        client.get(f"{EXECUTIONS}/{number}")
    with pytest.raises(TimeoutError, match=r"so far: 2 more lines; 1 x GET .*/2 \(record\): 404; .*/11 "):
        wr.wait_for_request(kind="submit", timeout=0.01)


def test_the_time_out_of_a_stream(wr: Emulator, client: ApiClient) -> None:
    """A time-out says how many streams are open, and how many clients have asked for."""
    execution_id = wr.create_execution("PAY", manual=True)
    with client.stream(execution_id):
        wr.wait_for_stream(execution_id)
        with pytest.raises(
            TimeoutError, match=rf"2 open stream\(s\) of {execution_id}, and 1 are open; .* asked for 1"
        ):
            wr.wait_for_stream(execution_id, count=2, timeout=0.01)
        with pytest.raises(TimeoutError, match="the end of all streams"):
            wr.wait_for_stream(execution_id, count=0, timeout=0.01)


def test_the_time_out_of_a_delivery(wr: Emulator, client: ApiClient) -> None:
    """A time-out says how the execution and its deliveries stand; an execution without a callback is refused."""
    wr.script("PAY", manual=True)
    execution_id = client.submit("PAY", callbackUrl="https://localhost:1/x")["id"]
    with pytest.raises(TimeoutError, match=r"1 finished callback deliveries of .* \(CREATED\), and 0 finished"):
        wr.wait_for_delivery(execution_id, timeout=0.01)
    with pytest.raises(ValueError, match="has no callback"):
        wr.wait_for_delivery(wr.create_execution("PAY"))
