"""Outputs that Airflow can't store as XCom: what is found in them, and how the task ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.ending.storable import MAX_DEPTH, unstorable
from airflow_provider_whiterabbit.exceptions import WhiteRabbitOutputError
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor
from dev.harness.standins import FakeAirflow
from tests.client.properties import examples
from tests.versions import needs_sdk

HALF = "half \ud83d"

TEXTS = st.text("a1\\u\0\x1b\ud83d\udc07", max_size=3) | st.sampled_from(["__classname__", "__id__", "__data__"])
SCALARS = st.none() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)


def is_stored(value: Any) -> bool:
    """Whether Airflow and PostgreSQL can store a value: JSON in UTF-8, without NaN, infinities, NUL, reserved names."""
    if any(name in json.dumps(value).replace(": ", ":") for name in ('"__classname__":', '"__id__":')):
        return False
    try:
        text = json.dumps(value, allow_nan=False)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return False
    return r"\u0000" not in text.replace(r"\\", "")


@examples(500)
@given(VALUES)
def test_everything_is_found(value: Any) -> None:
    """A value is refused if, and only if, it can't be stored."""
    assert (unstorable(value) is None) is is_stored(value)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (HALF, ("the character U+D83D", "$")),
        ({"a": [1, {"b_2": HALF}]}, ("the character U+D83D", "$.a[1].b_2")),
        ({"a": [HALF], "b": "\0"}, ("the character U+D83D", "$.a[0]")),
        ({"a b": {"x": "nothing \0"}}, ("the character U+0000", "$['a b'].x")),
        ({"a": {HALF: 1}}, ("the character U+D83D", "$.a['half \\ud83d']")),
        ([0.5, float("nan")], ("the number nan", "$[1]")),
        ({"a": float("-inf")}, ("the number -inf", "$.a")),
        ({"a": [{"__classname__": "x"}]}, ("a member with the name __classname__", "$.a[0].__classname__")),
        ({"__id__": 1}, ("a member with the name __id__", "$.__id__")),
        (["__id__", {"__data__": "__classname__", "id": 1}], None),
        ({"text": r"In JSON, \u0000 is NUL", "more": ["\x1b", "😀", 1e300]}, None),
    ],
    ids=repr,
)
def test_places(value: Any, found: tuple[str, str] | None) -> None:
    """The first thing that can't be stored is named with its place, also in the name of a member."""
    assert unstorable(value) == found


def nested(levels: int, value: Any = None) -> Any:
    """Return a value within so many arrays and objects, in turn."""
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 260, 500, 990, 5_000])
def test_deep_outputs(levels: int) -> None:
    """An output that is nested too deeply is refused, however deep: the search needs no recursion of its own."""
    found = unstorable(nested(levels))
    assert found is not None
    assert found[0] == f"more than {MAX_DEPTH} nested arrays and objects"
    assert found[1].startswith("$.a[0].a" if levels % 2 == 0 else "$[0].a[0]")
    assert unstorable([0, nested(levels)]) is not None


def test_longest_depth() -> None:
    """What is nested as deeply as allowed is stored, and is read by the tasks that get it."""
    assert unstorable(nested(MAX_DEPTH)) is None
    assert unstorable([*[nested(5)] * 500, nested(MAX_DEPTH - 1)]) is None
    models = pytest.importorskip("airflow.sdk.api.datamodels._generated")
    stored = json.dumps({"key": "return_value", "value": nested(MAX_DEPTH)})
    assert models.XComResponse.model_validate_json(stored).value == nested(MAX_DEPTH)
    with pytest.raises(ValueError, match="recursion"):
        models.XComResponse.model_validate_json(stored.replace("null", json.dumps(nested(10))))


@needs_sdk
@pytest.mark.parametrize("output", [{"__id__": 1}, nested(260)], ids=["reserved name", "deep"])
def test_airflow_refuses_them(output: Any) -> None:
    """Airflow itself refuses what is refused here, and its error does not say that the execution is paid for."""
    serde = pytest.importorskip("airflow.sdk.serde")
    comms = pytest.importorskip("airflow.sdk.execution_time.comms")
    with pytest.raises((AttributeError, ValueError)):
        comms.SetXCom(
            key="k", value=serde.serialize(output), dag_id="d", run_id="r", task_id="t", map_index=-1
        ).model_dump_json()
    assert unstorable(output) is not None


def sensor(execution_id: str, **arguments: Any) -> WhiteRabbitExecutionSensor:
    """Return a sensor that reads the record of an execution that has ended."""
    return WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, deferrable=True, **arguments)


@needs_sdk
def test_task_fails_without_retries(whiterabbit_emulator: Emulator) -> None:
    """The error says that the execution is paid for, what can't be stored, where, and how to get the output."""
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": [HALF]})
    with pytest.raises(AirflowFailException) as caught:
        FakeAirflow().run(sensor(execution_id))
    assert str(caught.value) == (
        f"Execution {execution_id} has completed and is paid for, but Airflow can't store its output as XCom: it has "
        "the character U+D83D at $.a[0]. Read the output with WhiteRabbitHook.get_execution, use an XCom backend that "
        "can store it, or set do_xcom_push=False"
    )


@needs_sdk
def test_workflow_run(whiterabbit_emulator: Emulator) -> None:
    """The place of a character in a workflow run's record names the stage."""
    whiterabbit_emulator.script_workflow("flow", [{"module": "X", "output": 1}, {"module": "Y", "output": {"n": "\0"}}])
    run_id = whiterabbit_emulator.create_run("flow")
    task = WhiteRabbitWorkflowRunSensor(task_id="wait", workflow_run_id=run_id, poke_interval=0.01, timeout=60)
    expected = rf"Workflow run {run_id} .* U\+0000 at \$\.runStages\[1\]\.output\.n\. .*\.get_workflow_run,"
    with pytest.raises(AirflowFailException, match=expected):
        FakeAirflow().run(task)


@needs_sdk
@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
def test_soft_fail_does_not_hide_it(whiterabbit_emulator: Emulator, option: str) -> None:
    """With `soft_fail` the task fails as well, because the execution did not; only `never_fail` skips after it."""
    task = sensor(whiterabbit_emulator.create_execution("X", output=HALF), **{option: True})
    with pytest.raises(Exception, match="is paid for") as caught:
        FakeAirflow().run(task)
    assert isinstance(caught.value, WhiteRabbitOutputError) is (option == "soft_fail")


@needs_sdk
def test_operator(whiterabbit_emulator: Emulator) -> None:
    """An operator stores id and credits, and fails without retries."""
    whiterabbit_emulator.script("X", output={"a": HALF}, usage=2.5)
    airflow = FakeAirflow()
    with pytest.raises(AirflowFailException, match=r"is paid for, .* U\+D83D at \$\.a\. "):
        airflow.run(WhiteRabbitExecuteComponentOperator(task_id="pay", module="X"))
    assert airflow.ti.xcoms["usage"] == 2.5
    assert airflow.ti.ids


@needs_sdk
def test_resumed_operator(whiterabbit_emulator: Emulator) -> None:
    """An operator that resumes after a deferral fails without retries, too."""
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": HALF})
    task = WhiteRabbitExecuteComponentOperator(task_id="pay", module="X", deferrable=True)
    event = {"execution_id": execution_id, "status": "COMPLETED", "message": None}
    context = FakeAirflow().context(task)
    with pytest.raises(AirflowFailException, match="is paid for"):
        task.resume_execution("execute_complete", {"event": event, "identity": execution_id}, context)


def test_result_that_is_not_pushed(whiterabbit_emulator: Emulator) -> None:
    """A task that pushes no XCom returns the output as it is."""
    execution_id = whiterabbit_emulator.create_execution("X", output=[HALF, "\0"])
    assert FakeAirflow().run(sensor(execution_id, do_xcom_push=False)) == [HALF, "\0"]


def test_custom_backend(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A custom XCom backend, which may store anything, gets the output as it is; so does that of Airflow 2."""
    xcom = pytest.importorskip("airflow.sdk.execution_time.xcom")
    monkeypatch.setattr(xcom, "XCom", type("Custom", (xcom.BaseXCom,), {}))
    execution_id = whiterabbit_emulator.create_execution("X", output=HALF)
    assert FakeAirflow().run(sensor(execution_id)) == HALF
