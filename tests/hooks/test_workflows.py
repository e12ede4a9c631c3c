"""The hook's methods for workflows and the component catalogue."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.emulator.world.catalogue import BUILT_IN
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def hook(emulator_connection: None) -> WhiteRabbitHook:
    """Return a hook that retries requests without pauses."""
    hook = WhiteRabbitHook()
    hook.timing = Timing(first_pause=0)
    return hook


def test_the_whole_way(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator) -> None:
    """The hook starts, streams, reads and waits for a workflow run."""
    wr = whiterabbit_emulator
    wr.script_workflow(
        "flow", [{"module": "A", "output": 1, "after": 0.05}, {"module": "B", "output": 2, "after": 0.05}]
    )
    run_id = hook.trigger_workflow("flow")
    events = list(hook.stream_workflow_run(run_id))
    assert events[-1].status == "COMPLETED"
    assert {event.id for event in events} == {run_id}
    run = hook.get_workflow_run(run_id)
    assert [stage.output for stage in run.stages] == [1, 2]
    ended = hook.wait_for_workflow_run(run_id, timeout=timedelta(seconds=20), poll_interval=timedelta(seconds=1))
    assert ended.to_dict() == wr.run(run_id) == json.loads(json.dumps(ended.to_dict()))


def test_trigger(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator) -> None:
    """A workflow is started by its id, with an empty JSON object."""
    hook.trigger_workflow("demo")
    (entry,) = whiterabbit_emulator.journal
    assert (entry.method, entry.path, entry.body) == ("POST", "/v1/sdk/workflows/demo", b"{}")


@pytest.mark.parametrize("script", [{"after": 0.1}, {"polls": 2}])
def test_wait(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator, script: dict[str, Any]) -> None:
    """Waiting returns the record of a run that has ended, well or not, with a stream and without."""
    whiterabbit_emulator.script_workflow("flow", [{"module": "A", "error": "no funds", **script}])
    if "polls" in script:
        whiterabbit_emulator.fault(effects.Close(), kind="run_stream", times=None)
    assert hook.wait_for_workflow_run(hook.trigger_workflow("flow"), timeout=60).status == "FAILED"


def test_timeout(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator) -> None:
    """After the time-out, an error tells the last known status."""
    whiterabbit_emulator.script_workflow("flow", [{"module": "A", "manual": True}])
    hook.timing = Timing(final_read=60)
    with pytest.raises(exc.WhiteRabbitTimeoutError, match="EXECUTING"):
        hook.wait_for_workflow_run(hook.trigger_workflow("flow"), timeout=0.1)


@pytest.mark.parametrize("argument", ["timeout", "poll_interval"])
@pytest.mark.parametrize("value", [-1, "soon", float("nan"), True])
def test_wrong_seconds(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator, argument: str, value: Any) -> None:
    """A wrong time-out or interval raises an error with its name before anything is sent."""
    with pytest.raises(exc.WhiteRabbitInputError, match=argument):
        hook.wait_for_workflow_run("r", **{argument: value})
    assert not whiterabbit_emulator.journal


def test_restricted_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workflow that the key may not start raises a permission error with its path."""
    with Emulator(allowed_workflows=["mine"]) as wr:
        wr.script_workflow("theirs", [{"module": "A"}])
        monkeypatch.setenv(*wr.environ.popitem())
        with pytest.raises(exc.WhiteRabbitPermissionError, match="/v1/sdk/workflows/theirs"):
            WhiteRabbitHook().trigger_workflow("theirs")
        assert len(wr.journal) == 1


def test_unknown(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator) -> None:
    """An unknown workflow and an unknown run raise an error with the id."""
    for call, identity in (
        (hook.trigger_workflow, "unheard-of"),
        (hook.get_workflow_run, UNKNOWN),
        (hook.wait_for_workflow_run, UNKNOWN),
        (lambda run_id: list(hook.stream_workflow_run(run_id)), UNKNOWN),
    ):
        with pytest.raises(exc.WhiteRabbitNotFoundError, match=identity):
            call(identity)


@pytest.mark.parametrize("fault", [effects.Reset("answer"), effects.Answer(503), effects.Answer(200, {"jobId": "1"})])
def test_uncertain_start(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator, fault: effects.Effect) -> None:
    """A start whose answer is lost or has no id is uncertain, and is not sent again."""
    whiterabbit_emulator.fault(fault, kind="trigger", times=None)
    with pytest.raises(exc.WhiteRabbitUncertainSubmissionError):
        hook.trigger_workflow("demo")
    assert len(whiterabbit_emulator.journal) == 1


@pytest.mark.parametrize("identity", ["", "../x", "a/b", "a?b", "..", "{{ ti }}", None, 7, "a\n"])
def test_unsafe_id(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator, identity: Any) -> None:
    """Every method raises an error for an id that cannot be part of a URL path."""
    for call in (
        hook.get_workflow_run,
        hook.wait_for_workflow_run,
        lambda run_id: next(hook.stream_workflow_run(run_id)),
    ):
        with pytest.raises(exc.WhiteRabbitInputError, match="workflow_run_id"):
            call(identity)
    with pytest.raises(exc.WhiteRabbitInputError, match="workflow_id"):
        hook.trigger_workflow(identity)
    with pytest.raises(exc.WhiteRabbitInputError, match="workflow_id"):
        hook.update_component(identity, "c", name="x")
    with pytest.raises(exc.WhiteRabbitInputError, match="component_id"):
        hook.update_component("demo", identity, name="x")
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({"config": {"limit": 10.0, "é": [None]}}, b'{"config":{"limit":10,"\xc3\xa9":[null]}}'),
        ({"config": {}}, b'{"config":{}}'),
        ({"name": "Swap, later"}, b'{"name":"Swap, later"}'),
        ({"position": (1, 2.5)}, b'{"position":[1,2.5]}'),
        ({"position": [-1, 0]}, b'{"position":[-1,0]}'),
        (
            {"position": [0, 0], "name": "x", "config": {"a": 1}},
            b'{"config":{"a":1},"name":"x","position":[0,0]}',
        ),
    ],
    ids=ascii,
)
def test_update_component(
    hook: WhiteRabbitHook, whiterabbit_emulator: Emulator, arguments: dict[str, Any], body: bytes
) -> None:
    """Only the given changes are sent, and the hook returns the API's answer."""
    answer = hook.update_component("demo", "c-1", **arguments)
    (entry,) = whiterabbit_emulator.journal
    assert (entry.method, entry.path, entry.body) == ("POST", "/v1/sdk/workflows/demo/components/c-1", body)
    assert isinstance(answer, dict)


@pytest.mark.parametrize(
    ("arguments", "message_part"),
    [
        ({}, "nothing to change"),
        ({"config": [1]}, "config"),
        ({"config": {"n": 2**53}}, "config.n"),
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"position": [1]}, "position"),
        ({"position": [1, 2, 3]}, "position"),
        ({"position": [1, "2"]}, "position"),
        ({"position": [True, False]}, "position"),
        ({"position": "12"}, "position"),
        ({"position": [1, float("nan")]}, "position[1]"),
    ],
    ids=ascii,
)
def test_wrong_update(
    hook: WhiteRabbitHook, whiterabbit_emulator: Emulator, arguments: dict[str, Any], message_part: str
) -> None:
    """An invalid change raises an error with its place before anything is sent."""
    with pytest.raises(exc.WhiteRabbitInputError) as caught:
        hook.update_component("demo", "c-1", **arguments)
    assert message_part in str(caught.value)
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize("effect", [effects.Reset("answer"), effects.Reset("request"), effects.Answer(503)], ids=repr)
def test_update_is_repeated(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator, effect: effects.Effect) -> None:
    """A change whose answer is lost is sent again, because White Rabbit merges it into what is there."""
    whiterabbit_emulator.fault(effect, kind="update")
    hook.update_component("demo", "c-1", config={"a": 1})
    first, second = whiterabbit_emulator.journal
    assert first.body == second.body


def test_components(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator) -> None:
    """The hook returns the catalogue as the API gives it, with components that users added."""
    whiterabbit_emulator.reset()  # removes the modules of the tests
    assert hook.get_components() == list(BUILT_IN)
    added = {**BUILT_IN[0], "module": "PAY"}
    whiterabbit_emulator.add_component(added)
    assert hook.get_components()[-1] == added


def test_catalogue_retries(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator) -> None:
    """A read of the catalogue that fails is repeated."""
    whiterabbit_emulator.fault(effects.Answer(503), kind="catalogue", times=2)
    assert len(hook.get_components()) >= len(BUILT_IN)
    assert len(whiterabbit_emulator.requests(kind="catalogue")) == 3


@pytest.mark.parametrize("answer", [{}, {"components": []}, [1], [{"name": "x"}], None, "x"], ids=repr)
def test_invalid_catalogue(hook: WhiteRabbitHook, whiterabbit_emulator: Emulator, answer: Any) -> None:
    """An answer that is not a catalogue raises an error that says so."""
    text = json.dumps(answer)
    whiterabbit_emulator.fault(effects.Answer(200, text, {"Content-Type": "application/json"}), kind="catalogue")
    with pytest.raises(exc.WhiteRabbitProtocolError, match="catalogue"):
        hook.get_components()
