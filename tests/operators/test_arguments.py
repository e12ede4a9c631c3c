"""What goes into the operators: templates, checks before anything is sent, secrets, and the catalogue."""

from __future__ import annotations

import json
import traceback
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from dev.harness.standins import Airflow, Remote


def component(module: Any = "PAY", **arguments: Any) -> WhiteRabbitExecuteComponentOperator:
    return WhiteRabbitExecuteComponentOperator(task_id="pay", module=module, **arguments)


# --- checks


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"timeout": -1}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": timedelta(seconds=-1)}, "timeout"),
        ({"poll_interval": None}, "poll_interval"),
        ({"poll_interval": -1}, "poll_interval"),
        ({"poll_interval": True}, "poll_interval"),
        ({"poll_interval": float("inf")}, "poll_interval"),
        ({"on_failed_execution": "retry"}, "on_failed_execution"),
        ({"on_failed_execution": None}, "on_failed_execution"),
        ({"on_uncertain_submission": True}, "on_uncertain_submission"),
    ],
    ids=str,
)
def test_bad_argument_at_construction(remote: Remote, arguments: dict[str, Any], named: str) -> None:
    """What is not templated is checked when the DAG is parsed, and named."""
    with pytest.raises(exc.WhiteRabbitInputError, match=named):
        remote.operator(**arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"attempts": 0}, "attempts"),
        ({"attempts": 4}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"attempts": "2"}, "attempts"),
        ({"inline_wait": -1}, "inline_wait"),
        ({"inline_wait": 15.1}, "inline_wait"),
        ({"inline_wait": timedelta(seconds=16)}, "inline_wait"),
        ({"inline_wait": "5"}, "inline_wait"),
    ],
    ids=str,
)
def test_bad_argument_of_a_component_at_construction(arguments: dict[str, Any], named: str) -> None:
    """What is not templated is checked when the DAG is parsed, for components too."""
    with pytest.raises(exc.WhiteRabbitInputError, match=named):
        component(**arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"module": ""}, "module"),
        ({"module": None}, "module"),
        ({"module": 7}, "module"),
        ({"input": [1]}, "input"),
        ({"input": "{}"}, "input"),
        ({"config": "x"}, "config"),
        ({"input": {"amounts": [1, 2, 3, 2**53]}}, "input.amounts[3]"),
        ({"input": {"amount": float("nan")}}, "input.amount"),
        ({"config": {"a b": {1: 2}}}, "config['a b']"),
        ({"input": {"text": "\ud800"}}, "input.text"),
        ({"input": {"when": timedelta(1)}}, "input.when"),
        ({"callback_url": "http://example.org"}, "callback_url"),
        ({"callback_url": ""}, "callback_url"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_bad_argument_when_run(
    airflow: Airflow, whiterabbit_emulator: Emulator, arguments: dict[str, Any], named: str
) -> None:
    """What is templated is checked before anything is sent or written down."""
    with pytest.raises(exc.WhiteRabbitInputError) as caught:
        airflow.run(component(**arguments))
    assert named in str(caught.value)
    assert not whiterabbit_emulator.journal
    assert not airflow.happened


@pytest.mark.parametrize("workflow_id", ["", "../x", "a/b", "{{ unrendered }}", None, 7])
def test_bad_workflow_id(airflow: Airflow, whiterabbit_emulator: Emulator, workflow_id: Any) -> None:
    """An id that could leave its place in the path is refused before anything is sent or written down."""
    with pytest.raises(exc.WhiteRabbitInputError, match="workflow_id"):
        airflow.run(WhiteRabbitTriggerWorkflowOperator(task_id="go", workflow_id=workflow_id))
    assert not whiterabbit_emulator.journal
    assert not airflow.happened


@pytest.mark.parametrize(
    ("changes", "named"), [({"password": "nonsense"}, "password"), ({"host": "ftp://x"}, "https")], ids=str
)
def test_bad_connection(
    airflow: Airflow, remote: Remote, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], named: str
) -> None:
    """A connection that can't be used leaves no intent behind."""
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps({**remote.wr.connection, **changes}))
    with pytest.raises(exc.WhiteRabbitConfigError, match=named):
        airflow.run(remote.operator())
    assert not airflow.happened


def test_every_argument(airflow: Airflow, whiterabbit_emulator: Emulator) -> None:
    """Arguments arrive under the names of the API, in its units; what is not given is not sent."""
    wr = whiterabbit_emulator
    airflow.run(component())
    airflow.run(
        component(
            input={"a": 1},
            config={"b": [None]},
            attempts=2,
            inline_wait=timedelta(seconds=1.5),
            callback_url="https://example.org/hook",
        ),
        max_tries=9,
    )
    plain, full = [entry.json for entry in wr.requests(kind="submit")]
    assert plain == {"module": "PAY", "input": {}, "config": {}}
    assert full == {
        "module": "PAY",
        "input": {"a": 1},
        "config": {"b": [None]},
        "attempts": 2,
        "waitForMs": 1500,
        "callbackUrl": "https://example.org/hook",
    }


# --- templates


class Balance:
    """Something that a context may hold."""

    total = 12


CONTEXT: Any = {"ds": "2026-11-24", "balance": Balance(), "chains": [1, 137]}


@pytest.mark.parametrize("native", [False, True])
def test_templates(native: bool) -> None:
    """Nested values are rendered, and whatever is no text keeps its type."""
    with DAG("templates", schedule=None, render_template_as_native_obj=native):
        task = component(
            "{{ 'PAY' }}",
            input={
                "day": "{{ ds }}",
                "amounts": ["{{ balance.total }}", 2, 2.5, None, True],
                "nested": {"deep": ({"chains": "{{ chains }}"},), "{{ ds }}": "keys are left alone"},
            },
            config={"day": "{{ ds }}", "limit": 10},
            callback_url="https://example.org/{{ ds }}",
            whiterabbit_conn_id="{{ 'whiterabbit' }}_{{ 'eu' }}",
        )
    task.render_template_fields(CONTEXT)
    assert task.module == "PAY"
    assert task.input == {
        "day": "2026-11-24",
        "amounts": [12 if native else "12", 2, 2.5, None, True],
        "nested": {"deep": ({"chains": [1, 137] if native else "[1, 137]"},), "{{ ds }}": "keys are left alone"},
    }
    assert [type(value) for value in task.input["amounts"][1:]] == [int, float, type(None), bool]
    assert task.config == {"day": "2026-11-24", "limit": 10}
    assert task.callback_url == "https://example.org/2026-11-24"
    assert task.whiterabbit_conn_id == "whiterabbit_eu"


def test_templates_are_sent(airflow: Airflow, whiterabbit_emulator: Emulator) -> None:
    """What was rendered is what is sent, tuples included."""
    with DAG("templates", schedule=None):
        task = component(input={"days": ("{{ ds }}", 1)})
    task.render_template_fields(CONTEXT)
    airflow.run(task)
    assert whiterabbit_emulator.requests(kind="submit")[0].json["input"] == {"days": ["2026-11-24", 1]}


def test_templates_of_a_workflow() -> None:
    """The workflow's id and the connection are templated."""
    with DAG("templates", schedule=None):
        task = WhiteRabbitTriggerWorkflowOperator(
            task_id="go", workflow_id="flow-{{ ds }}", whiterabbit_conn_id="{{ 'eu' }}"
        )
    task.render_template_fields(CONTEXT)
    assert (task.workflow_id, task.whiterabbit_conn_id) == ("flow-2026-11-24", "eu")


def test_whole_input_by_template() -> None:
    """Where templates give native objects, all of the input may come from one."""
    with DAG("templates", schedule=None, render_template_as_native_obj=True):
        task = component(input="{{ {'chains': chains} }}")
    task.render_template_fields(CONTEXT)
    assert task.input == {"chains": [1, 137]}


# --- secrets

SECRET = "sesame-open-up"
HEADER = "Bearer let-me-in"


@pytest.fixture
def secretive(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    connection = whiterabbit_emulator.connection
    connection["extra"] |= {"callback_secret": SECRET, "callback_headers": {"Authorization": HEADER}}
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
    return whiterabbit_emulator


def seen_of(task: WhiteRabbitExecuteComponentOperator) -> str:
    """Return everything that an operator shows of itself."""
    fields = {name: getattr(task, name) for name in task.template_fields}
    return f"{task!r} {vars(task)!r} {fields!r} {task.what}"


def test_callback_secret(airflow: Airflow, secretive: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Secret and headers of the connection are sent with the callback, and stay out of task and log."""
    caplog.set_level("DEBUG")
    task = component(callback_url="https://example.org/hook")
    airflow.run(task)
    sent = secretive.requests(kind="submit")[0].json
    assert "callbackSecret" in sent
    assert sent["callbackHeaders"] == {"Authorization": HEADER}
    for text in (seen_of(task), caplog.text, repr(airflow.store.values), repr(airflow.ti.xcoms)):
        for secret in (SECRET, HEADER, secretive.api_key, secretive.api_secret):
            assert secret not in text


def test_no_callback_no_secret(airflow: Airflow, secretive: Emulator) -> None:
    """Where no callback was asked for, its secret stays at home."""
    airflow.run(component())
    assert secretive.requests(kind="submit")[0].json == {"module": "PAY", "input": {}, "config": {}}


@pytest.mark.parametrize(
    "trouble", [effects.Answer(422, {"message": "no"}), effects.Answer(500), effects.Reset()], ids=repr
)
def test_no_secret_in_errors(
    airflow: Airflow, secretive: Emulator, trouble: effects.Effect, caplog: pytest.LogCaptureFixture
) -> None:
    """An error, with all that led to it, shows no secret."""
    caplog.set_level("DEBUG")
    secretive.fault(trouble, kind="submit")
    task = component(callback_url="https://example.org/hook")
    with pytest.raises((exc.WhiteRabbitError, AirflowFailException)) as caught:
        airflow.run(task)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + seen_of(task)
    for secret in (SECRET, HEADER, secretive.api_key, secretive.api_secret):
        assert secret not in shown


# --- the catalogue


@pytest.mark.parametrize("status", [400, 404, 422])
def test_did_you_mean(airflow: Airflow, whiterabbit_emulator: Emulator, status: int) -> None:
    """A module that the server refuses and the catalogue lacks gets a suggestion beside what the server said."""
    whiterabbit_emulator.fault(effects.Answer(status, {"message": "unknown module"}), kind="submit")
    with pytest.raises(exc.WhiteRabbitResponseError, match="unknown module") as caught:
        airflow.run(component("RANDOM_UID"))
    assert "did you mean RANDOM_UUID" in str(caught.value)
    assert caught.value.status == status
    assert airflow.store.record is None


@pytest.mark.parametrize(
    ("module", "status"), [("RANDOM_UUID", 422), ("SOMETHING_ELSE_ALTOGETHER", 422), ("RANDOM_UID", 403)]
)
def test_nothing_else_was_meant(airflow: Airflow, whiterabbit_emulator: Emulator, module: str, status: int) -> None:
    """A module that exists, one like no other, and a refusal of another kind get no suggestion."""
    whiterabbit_emulator.fault(effects.Answer(status, {"message": "no"}), kind="submit")
    with pytest.raises(exc.WhiteRabbitResponseError, match="no") as caught:
        airflow.run(component(module))
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    "catalogue",
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
def test_catalogue_in_trouble(airflow: Airflow, whiterabbit_emulator: Emulator, catalogue: effects.Effect) -> None:
    """A catalogue that can't be read does not hide what the server said of the submission."""
    whiterabbit_emulator.fault(effects.Answer(422, {"message": "unknown module"}), kind="submit")
    whiterabbit_emulator.fault(catalogue, kind="catalogue", times=None)
    with pytest.raises(exc.WhiteRabbitInvalidRequestError, match="unknown module"):
        airflow.run(component("RANDOM_UID"))
    assert len(whiterabbit_emulator.requests(kind="catalogue")) == 1


@pytest.mark.parametrize(
    ("module", "arguments", "named"),
    [
        ("RANDOM_UID", {}, "did you mean RANDOM_UUID"),
        ("DEMO_BRANCH", {"input": {"condition": True}}, "DEMO_BRANCH"),
        ("DEMO_TOKEN_SWAP", {"input": {"side": "BUY", "route": []}}, "input.amount: required"),
        ("DEMO_TOKEN_SWAP", {"input": {"amount": 1, "side": "HOLD", "route": []}}, "input.side"),
        ("DEMO_TOKEN_SWAP", {"input": {"amount": 1, "side": "BUY", "route": [True]}}, "input.route[0]"),
        ("RANDOM_UUID", {"input": {"x": 1}}, "input.x: no such input"),
        ("WAIT_FOR_EVM_TRANSACTION", {"input": {"transactionHash": "0x", "chainId": 1}}, "config.confirmations"),
    ],
)
def test_validate(
    airflow: Airflow, whiterabbit_emulator: Emulator, module: str, arguments: dict[str, Any], named: str
) -> None:
    """With ``validate``, what the catalogue does not allow is named and never submitted."""
    with pytest.raises(exc.WhiteRabbitInputError) as caught:
        airflow.run(component(module, validate=True, **arguments))
    assert named in str(caught.value)
    assert [entry.kind for entry in whiterabbit_emulator.journal] == ["catalogue"]
    assert not airflow.happened


def test_validated(airflow: Airflow, whiterabbit_emulator: Emulator) -> None:
    """What the catalogue allows is submitted, components that users added included."""
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
    assert airflow.run(component(input={"amount": "1"}, validate=True, inline_wait=5)) == 1
    assert [entry.kind for entry in whiterabbit_emulator.journal] == ["catalogue", "submit"]


def test_validate_does_not_stand_in_the_way_of_a_retry(airflow: Airflow, whiterabbit_emulator: Emulator) -> None:
    """What was submitted before is waited for, whatever the catalogue says by now."""
    task = component("UNHEARD_OF", validate=True)
    airflow.store.record = {"id": whiterabbit_emulator.create_execution("X", output=1)}
    assert airflow.run(task, 2) == 1
    assert not whiterabbit_emulator.requests(kind="catalogue")


def test_template_fields() -> None:
    """Everything that a user may want to compute is templated, and shown as what it is."""
    assert set(WhiteRabbitExecuteComponentOperator.template_fields) == {
        "module",
        "input",
        "config",
        "callback_url",
        "callback",
        "whiterabbit_conn_id",
    }
    assert set(WhiteRabbitTriggerWorkflowOperator.template_fields) == {"workflow_id", "whiterabbit_conn_id"}
    task = component()
    assert (task.wait_for_completion, task.deferrable, task.timeout, task.inline_wait) == (True, False, None, 0)
    assert (task.on_failed_execution, task.on_uncertain_submission) == ("fail", "fail")
