"""Scripts: what an execution does after it is created, and which script it uses."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit.emulator import Script


def test_polls(wr, client):
    """With ``polls=3``, the third read of the record is the first that shows the end; reads by the test don't count."""
    wr.script("POLLED", polls=3, error={"why": "no"})
    execution_id = client.submit("POLLED")["id"]
    assert wr.execution(execution_id)["status"] == "CREATED"
    assert [client.record(execution_id)["status"] for _ in range(4)] == ["EXECUTING", "EXECUTING", "FAILED", "FAILED"]
    assert wr.execution(execution_id)["error"] == {"why": "no"}


def test_none_is_an_output(wr, client):
    """``output=None`` is a null output, not the default output."""
    wr.script("NOTHING", output=None)
    assert client.submit("NOTHING", waitForMs=1000)["output"] is None


def test_scripts_in_turn(wr, client):
    """Each execution uses the next script of a sequence; the last script is used for all further executions."""
    wr.script("FLAKY", Script(error="first"), Script(output=2, times=2), Script(output=3))
    records = [client.submit("FLAKY", waitForMs=1000) for _ in range(5)]
    assert [record["error"] or record["output"] for record in records] == ["first", 2, 2, 3, 3]


def test_a_script_with_times_ends(wr, client):
    """After a last script with ``times``, executions have no script."""
    wr.script("ONCE", error="no", times=1)
    assert [client.submit("ONCE", waitForMs=1000)["status"] for _ in range(2)] == ["FAILED", "COMPLETED"]


def test_an_output_function(wr, client):
    """A function returns the output for input and config; the execution fails if the function raises."""
    wr.script("ADD", output=lambda inputs, config: inputs["a"] + config["b"])
    assert client.submit("ADD", input={"a": 1}, config={"b": 2}, waitForMs=1000)["output"] == 3
    failed = client.submit("ADD", waitForMs=1000)
    assert (failed["status"], failed["error"]["type"]) == ("FAILED", "KeyError")


def test_an_output_function_may_call_the_emulator(wr, client):
    """The output function of a script may create another execution."""
    wr.script("FIRST", output=lambda _inputs, _config: wr.create_execution("SECOND"))
    assert client.record(client.submit("FIRST", waitForMs=1000)["output"])["module"] == "SECOND"


def test_an_output_function_may_not_wait(wr, client):
    """A ``wait_for_…`` method in an output function fails, because it would block the emulator's thread."""
    wr.script("DEADLOCK", output=lambda _inputs, _config: wr.wait_for_request(timeout=1))
    assert "scripts" in client.submit("DEADLOCK", waitForMs=1000)["error"]["message"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"after": 1, "polls": 1}, "exclude each other"),
        ({"polls": 0}, "polls must be at least 1"),
        ({"after": -1}, "after must be at least 0"),
        ({"times": 0}, "times must be at least 1"),
        ({"output": 1, "error": 2}, "not both"),
        ({"output": float("nan")}, "not JSON compliant"),
    ],
)
def test_contradictory_options_are_refused(wr, options, problem):
    """Options that contradict each other or are out of range raise `ValueError`."""
    with pytest.raises(ValueError, match=problem):
        wr.script("X", **options)


def test_scripts_or_options(wr):
    """An output that is not JSON raises `TypeError`; scripts and options together raise `ValueError`."""
    with pytest.raises(TypeError):
        wr.script("X", output=object())
    with pytest.raises(ValueError, match="not both"):
        wr.script("X", Script(), manual=True)
