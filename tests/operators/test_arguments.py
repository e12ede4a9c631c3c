"""The arguments of both operators: their checks, templates and defaults."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.operators.remotes import Remote, component_operator

# --- checks


@pytest.mark.parametrize(
    ("arguments", "message_part"),
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
        ({"on_doubt": True}, "on_doubt"),
        ({"deferrable": "{{ params.deferrable }}"}, "deferrable must be True or False, and can't be a template"),
        ({"end_from_trigger": "no"}, "end_from_trigger must be True or False"),
        ({"wait_for_completion": None}, "wait_for_completion must be True or False"),
        ({"wait_for_completion": []}, "wait_for_completion"),
        ({"whiterabbit_conn_id": None}, "whiterabbit_conn_id must be the id of an Airflow connection"),
        ({"whiterabbit_conn_id": ""}, "whiterabbit_conn_id"),
        ({"whiterabbit_conn_id": " "}, "whiterabbit_conn_id"),
        ({"whiterabbit_conn_id": "None"}, "whiterabbit_conn_id"),
    ],
    ids=str,
)
def test_wrong_argument_at_parse_time(remote: Remote, arguments: dict[str, Any], message_part: str) -> None:
    """A wrong argument that is not templated raises an error with its name when the DAG is parsed."""
    with pytest.raises(exc.WhiteRabbitInputError, match=message_part):
        remote.operator(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message_part"),
    [
        ({"attempts": 0}, "attempts"),
        ({"attempts": 4}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"attempts": "two"}, "attempts"),
        ({"attempts": "4"}, "attempts"),
        ({"attempts": "2.0"}, "attempts"),
        ({"inline_wait": -1}, "inline_wait"),
        ({"inline_wait": 15.1}, "inline_wait"),
        ({"inline_wait": timedelta(seconds=16)}, "inline_wait"),
        ({"inline_wait": "5s"}, "inline_wait"),
        ({"validate": "yes"}, "validate"),
        ({"module": ""}, "module"),
        ({"module": None}, "module"),
        ({"module": 7}, "module"),
        ({"module": "NOTHING \0"}, "module"),
        ({"module": "\u202eYAP"}, "module"),
        ({"module": "M" * 201}, "module"),
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
def test_wrong_component_argument(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, arguments: dict[str, Any], message_part: str
) -> None:
    """A wrong argument is refused when the DAG is parsed.

    If it was set later, or comes to a mapped task, it is refused before the operator stores or sends anything.
    """
    with pytest.raises(exc.WhiteRabbitInputError) as parsed:
        component_operator(**arguments)
    assert message_part in str(parsed.value)
    changed = component_operator()
    for name, value in arguments.items():
        setattr(changed, name, value)
    with DAG("mapped", schedule=None):
        mapped = WhiteRabbitExecuteComponentOperator.partial(task_id="pay").expand(
            **{name: [value] for name, value in ({"module": "PAY"} | arguments).items()}
        )
    for task in (changed, mapped.unmap({"module": "PAY"} | arguments)):
        with fails_for_good(exc.WhiteRabbitInputError) as caught:
            airflow.run(task)
        assert message_part in str(caught.value)
    assert not whiterabbit_emulator.journal
    assert not airflow.happened


@pytest.mark.parametrize("workflow_id", ["", "../x", "a/b", None, 7])
def test_wrong_workflow_id(airflow: FakeAirflow, whiterabbit_emulator: Emulator, workflow_id: Any) -> None:
    """A workflow id that can't be part of a URL path is refused when the DAG is parsed, and when it is rendered."""
    with pytest.raises(exc.WhiteRabbitInputError, match="workflow_id"):
        WhiteRabbitTriggerWorkflowOperator(task_id="go", workflow_id=workflow_id)
    with DAG("templates", schedule=None, render_template_as_native_obj=True):
        task = WhiteRabbitTriggerWorkflowOperator(task_id="go", workflow_id="{{ chosen }}")
    with fails_for_good(exc.WhiteRabbitInputError, "workflow_id is a template that was not rendered"):
        airflow.run(task)
    task.render_template_fields({"chosen": workflow_id})  # type: ignore[typeddict-unknown-key,typeddict-item]
    with fails_for_good(exc.WhiteRabbitInputError, "workflow_id.*rendered from '{{ chosen }}'|workflow_id.*native_obj"):
        airflow.run(task)
    assert not whiterabbit_emulator.journal
    assert not airflow.happened


@pytest.mark.parametrize(
    ("changes", "message_part"), [({"password": "nonsense"}, "password"), ({"host": "ftp://x"}, "https")], ids=str
)
def test_wrong_connection(
    airflow: FakeAirflow, remote: Remote, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message_part: str
) -> None:
    """With an invalid connection, the operator stores no intent."""
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps({**remote.wr.connection, **changes}))
    with fails_for_good(exc.WhiteRabbitConfigError, message_part):
        airflow.run(remote.operator())
    assert not airflow.happened


def test_every_argument(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """Arguments are sent with the names and units of the API; arguments that are not given are not sent."""
    wr = whiterabbit_emulator
    airflow.run(component_operator())
    airflow.run(
        component_operator(
            input={"a": 1},
            config={"b": [None]},
            attempts=2,
            inline_wait=timedelta(seconds=1.5),
            callback_url="https://example.org/hook",
        ),
        max_tries=9,
    )
    minimal, full = [entry.json for entry in wr.requests(kind="submit")]
    assert minimal == {"module": "PAY", "input": {}, "config": {}}
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
    """An object in a context, with an attribute that templates read."""

    total = 12


CONTEXT: Any = {"ds": "2026-11-24", "balance": Balance(), "chains": [1, 137]}


@pytest.mark.parametrize("native", [False, True])
def test_templates(native: bool) -> None:
    """Templates in nested values are rendered, and values other than strings keep their types."""
    with DAG("templates", schedule=None, render_template_as_native_obj=native):
        task = component_operator(
            "{{ 'PAY' }}",
            input={
                "day": "{{ ds }}",
                "amounts": ["{{ balance.total }}", 2, 2.5, None, True],
                "nested": {"deep": ({"chains": "{{ chains }}"},), "{{ ds }}": "not rendered, as a key"},
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
        "nested": {"deep": ({"chains": [1, 137] if native else "[1, 137]"},), "{{ ds }}": "not rendered, as a key"},
    }
    assert [type(value) for value in task.input["amounts"][1:]] == [int, float, type(None), bool]
    assert task.config == {"day": "2026-11-24", "limit": 10}
    assert task.callback_url == "https://example.org/2026-11-24"
    assert task.whiterabbit_conn_id == "whiterabbit_eu"


def test_rendered_input_is_sent(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """The rendered input is sent, tuples as lists."""
    with DAG("templates", schedule=None):
        task = component_operator(input={"days": ("{{ ds }}", 1)})
    task.render_template_fields(CONTEXT)
    airflow.run(task)
    assert whiterabbit_emulator.requests(kind="submit")[0].json["input"] == {"days": ["2026-11-24", 1]}


def test_templates_of_a_workflow() -> None:
    """The workflow id and the connection id are templated."""
    with DAG("templates", schedule=None):
        task = WhiteRabbitTriggerWorkflowOperator(
            task_id="go", workflow_id="flow-{{ ds }}", whiterabbit_conn_id="{{ 'eu' }}"
        )
    task.render_template_fields(CONTEXT)
    assert (task.workflow_id, task.whiterabbit_conn_id) == ("flow-2026-11-24", "eu")


def test_whole_input_by_template() -> None:
    """In a DAG whose templates render native objects, one template can give the whole input."""
    with DAG("templates", schedule=None, render_template_as_native_obj=True):
        task = component_operator(input="{{ {'chains': chains} }}")
    task.render_template_fields(CONTEXT)
    assert task.input == {"chains": [1, 137]}


def test_template_fields_and_defaults() -> None:
    """The templated fields of both operators and the component operator's defaults are as documented."""
    assert set(WhiteRabbitExecuteComponentOperator.template_fields) == {
        "module",
        "input",
        "config",
        "attempts",
        "callback_url",
        "callback",
        "inline_wait",
        "validate",
        *WhiteRabbitSubmitOperator.template_fields,
    }
    assert set(WhiteRabbitTriggerWorkflowOperator.template_fields) == {
        "workflow_id",
        *WhiteRabbitSubmitOperator.template_fields,
    }
    task = component_operator()
    assert (task.wait_for_completion, task.deferrable, task.timeout, task.inline_wait) == (True, False, None, 0)
    assert (task.on_failed_execution, task.on_doubt, task.on_clear) == ("fail", None, "resubmit")
