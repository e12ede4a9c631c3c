"""Arguments of operators that Airflow renders: numbers, words, and true or false."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import DAG, Asset, task
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from airflow_provider_whiterabbit.operators.submission import digest
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.operators.remotes import Remote, component_operator
from tests.serialization import serialized

COMMON = {
    "timeout": 60.0,
    "poll_interval": 2.0,
    "on_failed_execution": "resubmit",
    "on_doubt": "ask",
    "on_clear": "reattach",
    "wait_for_completion": True,
}
"""Arguments of both operators with a value that each may have."""

OWN = {"attempts": 2, "inline_wait": 1.5, "validate": False}
"""The same for arguments of the component operator alone."""


def render(operator: Any, native: bool = False, **values: Any) -> Any:
    """Render an operator's templates, in which ``params`` holds the given values."""
    with DAG("templates", schedule=None, render_template_as_native_obj=native) as dag:
        dag.add_task(operator)
    operator.render_template_fields({"params": values})
    return operator


def templates(names: Any) -> dict[str, Any]:
    """Return an argument for each name, which is a template that takes the parameter of the name."""
    return {name: f"{{{{ params.{name} }}}}" for name in names}


@pytest.mark.parametrize("native", [False, True])
def test_all_arguments(airflow: FakeAirflow, whiterabbit_emulator: Emulator, native: bool) -> None:
    """Request and digest are those of literal values, so a retry after such an edit finds the submission."""
    values = COMMON | OWN
    literal = component_operator(**values)
    templated = render(component_operator(**templates(values)), native, **values)
    requests = [operator._request() for operator in (literal, templated)]
    assert requests[0] == requests[1]
    assert len({digest(request, "whiterabbit_default", airflow.ti) for request in requests}) == 1
    airflow.run(templated)
    (submission,) = whiterabbit_emulator.requests(kind="submit")
    assert submission.json == {"module": "PAY", "input": {}, "config": {}, "attempts": 2, "waitForMs": 1500}


def test_both_operators(airflow: FakeAirflow, remote: Remote) -> None:
    """Both operators wait as their rendered arguments say."""
    operator = render(remote.operator(**templates(COMMON)), **COMMON | {"wait_for_completion": "false"})
    assert airflow.run(operator) == remote.newest


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("timeout", "1h", "must be a number of seconds.*got the text '1h'"),
        ("timeout", timedelta(hours=1), r"got the text '1:00:00'.*total_seconds\(\)"),
        ("timeout", "-1", "not negative; got -1"),
        ("timeout", "nan", "got the text 'nan'"),
        ("timeout", "1_0", "got the text '1_0'"),
        ("timeout", "٣", "got the text '٣'"),
        ("poll_interval", "9999999999999", "from 0 to"),
        ("attempts", "4", "a whole number from 1 to 3, got 4"),
        ("attempts", "2.0", "a whole number from 1 to 3, got 2.0"),
        ("inline_wait", "16", "from 0 to 15; got 16"),
        ("validate", "yes", "one of 'True', 'False', 'true', 'false', got 'yes'"),
        ("wait_for_completion", "0", "one of 'True'"),
        ("on_failed_execution", "Resubmit", "one of 'fail', 'resubmit', got 'Resubmit'"),
        ("on_doubt", "ask ", "one of 'fail', 'resubmit', 'ask', got 'ask '"),
        ("on_clear", "fail", "one of 'resubmit', 'reattach'"),
        ("callback_url", "http://example.org", "must be an https:// URL"),
    ],
    ids=str,
)
def test_wrong_value(airflow: FakeAirflow, whiterabbit_emulator: Emulator, name: str, value: Any, message: str) -> None:
    """A wrong rendered value is refused before anything is stored or sent; the message names the template."""
    operator = render(component_operator(**templates([name])), **{name: value})
    with fails_for_good(
        exc.WhiteRabbitInputError, rf"^{name} .*{message}.*\(rendered from '{{{{ params.{name} }}}}'\)"
    ):
        airflow.run(operator)
    assert not whiterabbit_emulator.journal
    assert not airflow.happened


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("value", [None, "", "None", " \n"])
@pytest.mark.parametrize("name", sorted({*COMMON, *OWN, "module", "callback", "callback_url", "input"}))
def test_no_value(airflow: FakeAirflow, whiterabbit_emulator: Emulator, name: str, value: Any, native: bool) -> None:
    """A template that renders to nothing, or to None, is refused, also where None as a literal means the default."""
    operator = render(component_operator(**templates([name])), native, **{name: value})
    with fails_for_good(exc.WhiteRabbitInputError, f"^{name} has no value: '{{{{ params.{name} }}}}' rendered to"):
        airflow.run(operator)
    assert not whiterabbit_emulator.journal


LOST = {
    "input.to": {"input": {"to": "{{ params.x }}", "amount": "1"}},
    "input.legs[1].to": {"input": {"legs": ["None", {"to": "{{ params.x }}"}]}},
    "config.network": {"config": {"network": "{{ params.x }}"}},
}
"""Arguments in which a template names a parameter that has no value, by its place."""


@pytest.mark.parametrize("place", LOST)
def test_no_value_in_an_object(airflow: FakeAirflow, whiterabbit_emulator: Emulator, place: str) -> None:
    """The text of which only None is the reason is refused, with its place; a text that holds more is sent."""
    operator = render(component_operator(**LOST[place]), x=None)
    message = f"^{re.escape(place)} has no value: '{{{{ params.x }}}}' rendered to 'None'"
    with fails_for_good(exc.WhiteRabbitInputError, message):
        airflow.run(operator)
    assert not whiterabbit_emulator.journal
    assert not airflow.happened


def test_no_value_in_one_of_many(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """The place in an input of many is named too."""
    operator = WhiteRabbitExecuteComponentsOperator(task_id="pay", module="PAY", inputs=[{}, {"to": "{{ params.x }}"}])
    with fails_for_good(exc.WhiteRabbitInputError, r"^inputs\[1\]\.to has no value"):
        airflow.run(render(operator, x=None))
    assert not whiterabbit_emulator.journal


def test_no_value_in_a_file(airflow: FakeAirflow, whiterabbit_emulator: Emulator, tmp_path: Path) -> None:
    """In a JSON file too, the text of which only None is the reason is refused; the filter tojson writes null."""
    (tmp_path / "pay.json").write_text('{"own": "None", "legs": [{"to": "{{ params.x }}"}]}')
    (tmp_path / "null.json").write_text('{"to": {{ params.x | tojson }}}')
    whiterabbit_emulator.component("PAY")
    for name, place in (("pay", "input.legs[0].to"), ("null", None)):
        with DAG("files", schedule=None, template_searchpath=str(tmp_path)):
            operator = component_operator("PAY", input=f"{name}.json", wait_for_completion=False)
        operator.render_template_fields({"params": {"x": None}})
        expectation = fails_for_good(exc.WhiteRabbitInputError, f"^{re.escape(place or '')} has no value")
        with nullcontext() if place is None else expectation:
            airflow.run(operator)
    assert [entry.json["input"] for entry in whiterabbit_emulator.requests(kind="submit")] == [{"to": None}]


def test_a_subclass_replaces_the_input(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """What a subclass puts in the place of a missing value is sent, also its own text None."""
    whiterabbit_emulator.component("PAY")

    class Pay(WhiteRabbitExecuteComponentOperator):
        def execute(self, context: Any) -> Any:
            self.input = {"to": "None"}
            return super().execute(context)

    pay = Pay(task_id="pay", module="PAY", input={"to": "{{ params.x }}"}, wait_for_completion=False)
    airflow.run(render(pay, x=None))
    assert [entry.json["input"] for entry in whiterabbit_emulator.requests(kind="submit")] == [{"to": "None"}]


def test_rendered_twice(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """Airflow 2 may render a task twice: a missing value is still one."""
    operator = render(component_operator(**LOST["input.to"]), x=None)
    operator.render_template_fields({"params": {"x": None}})
    with fails_for_good(exc.WhiteRabbitInputError, "^input.to has no value"):
        airflow.run(operator)


def test_what_only_looks_like_no_value(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """The DAG's own text None is a value, and so are an empty text and a longer one."""
    whiterabbit_emulator.component("PAY")
    given = {"own": "None", "memo": "{{ params.empty }}", "note": "for {{ params.x }}"}
    operator = component_operator("PAY", input=given, wait_for_completion=False)
    airflow.run(render(operator, x=None, empty=""))
    (sent,) = whiterabbit_emulator.requests(kind="submit")
    assert sent.json["input"] == {"own": "None", "memo": "", "note": "for None"}


@pytest.mark.parametrize(
    ("value", "native", "message"),
    [
        (None, False, "has no value: '{{ params.whiterabbit_conn_id }}' rendered to 'None'"),
        (None, True, "has no value: .* rendered to None"),
        ("", False, "has no value: .* rendered to ''"),
        ("a\nb", False, r"must be the id of an Airflow connection, got 'a.*\(rendered from"),
        ("c" * 251, False, "must be the id of an Airflow connection, got 'ccc"),
        ("2024", True, "must be the id of .*, got 2024 .*The template of .* render_template_as_native_obj=True"),
        (["a"], True, "must be the id of an Airflow connection, got "),
    ],
    ids=str,
)
def test_connection_ids(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, value: Any, native: bool, message: str
) -> None:
    """An id that is none, or that is missing, is refused before anything is sent; the message names the template."""
    conn_id = templates(["whiterabbit_conn_id"])
    context = airflow.context(component_operator())
    with fails_for_good(exc.WhiteRabbitInputError, f"^whiterabbit_conn_id {message}"):
        render(component_operator(**conn_id), native, whiterabbit_conn_id=value).execute(context)
    sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id="e", **conn_id)
    with fails_for_good(exc.WhiteRabbitInputError, f"^whiterabbit_conn_id {message}"):
        render(sensor, native, whiterabbit_conn_id=value).execute(context)
    assert not whiterabbit_emulator.journal


NO_FLAGS = [[], {}, 2, -1, float("nan"), 10**400, Decimal(0), timedelta()]


@pytest.mark.parametrize("name", ["validate", "wait_for_completion"])
@pytest.mark.parametrize("value", NO_FLAGS, ids=str)
def test_no_flag(airflow: FakeAirflow, whiterabbit_emulator: Emulator, name: str, value: Any) -> None:
    """What another task returns is true or false only if it says so: an empty list must not end the wait."""
    operator = render(component_operator(**templates([name])), True, **{name: value})
    with fails_for_good(exc.WhiteRabbitInputError, f"^{name} must be True or False, got"):
        airflow.run(operator)
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize(
    ("value", "sent"), [(1 / 3, 333), (0.1 + 0.2, 300), (10 / 3, 3333), (14.999999999999998, 15000)]
)
def test_long_fractions(airflow: FakeAirflow, whiterabbit_emulator: Emulator, value: float, sent: int) -> None:
    """The text of each float is a number, as a param that is divided gives it."""
    airflow.run(render(component_operator(**templates(["inline_wait"])), inline_wait=value))
    (submission,) = whiterabbit_emulator.requests(kind="submit")
    assert submission.json["waitForMs"] == sent


def test_endless_integer(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """An integer that no float holds is as good as no timeout."""
    assert component_operator(timeout=10**400).timeout == component_operator(timeout=float("inf")).timeout
    airflow.run(render(component_operator(**templates(["timeout"])), True, timeout=10**400))
    assert len(whiterabbit_emulator.requests(kind="submit")) == 1


@pytest.mark.parametrize("text", ['{"a": 1}', "payment.json", "a text"])
def test_input_rendered_to_a_text(airflow: FakeAirflow, whiterabbit_emulator: Emulator, text: str) -> None:
    """A text where an object is due is refused, and the message lists what to do instead."""
    operator = render(component_operator(input="{{ params.input }}"), input=text)
    kind = "a JSON text" if text[0] == "{" else "a text"
    with fails_for_good(exc.WhiteRabbitInputError, f"^input must be an object .*got {kind}.*render_template_as_native"):
        airflow.run(operator)
    assert not whiterabbit_emulator.journal
    airflow.run(render(component_operator(input="{{ params.input }}"), True, input={"a": 1}), max_tries=7)
    assert whiterabbit_emulator.requests(kind="submit")[0].json["input"] == {"a": 1}


def test_outputs_of_tasks(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """Each of the arguments takes another task's output, which makes the other task an upstream task."""
    with DAG("outputs", schedule=None):

        @task
        def choose() -> Any:
            """Return a value."""

        names = [*COMMON, *OWN, "module", "input", "config", "callback_url"]
        operator = component_operator(choose(), **{name: choose() for name in names if name != "module"})
    assert len(operator.upstream_task_ids) == len(names)


def test_mapped(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A mapped task takes numbers and texts of numbers, and renders what `partial` gives."""
    with DAG("mapped", schedule=None) as dag:
        mapped = WhiteRabbitExecuteComponentOperator.partial(
            task_id="pay", timeout="{{ params.limit }}", attempts="{{ params.attempts }}"
        ).expand(module=["PAY"], inline_wait=["0.5", 1])
    assert serialized(dag).has_task("pay")
    unmapped = mapped.unmap({"module": "PAY", "inline_wait": "0.5"})
    unmapped.render_template_fields({"params": {"limit": "30", "attempts": 3}})
    airflow.run(unmapped)
    (submission,) = whiterabbit_emulator.requests(kind="submit")
    assert (submission.json["attempts"], submission.json["waitForMs"]) == (3, 500)
    unmapped = mapped.unmap({"module": "PAY", "inline_wait": "0.5"})
    unmapped.render_template_fields({"params": {"limit": "", "attempts": 3}})
    with fails_for_good(exc.WhiteRabbitInputError, "^timeout has no value"):
        airflow.run(unmapped, try_number=2)


def test_default_args() -> None:
    """The default_args of a DAG reach the parameters of operators and sensors, templates too."""
    defaults = {"timeout": "{{ params.limit }}", "poll_interval": 7, "on_doubt": "ask", "retries": 4}
    with DAG("defaults", schedule=None, default_args=defaults):
        operator = component_operator()
    assert (operator.timeout, operator.poll_interval, operator.on_doubt) == ("{{ params.limit }}", 7.0, "ask")
    assert operator.retries == 4


def test_serialized() -> None:
    """A DAG with templates, and one with an endless timeout, can be stored as JSON."""
    with DAG("stored", schedule=None) as dag:
        component_operator(**templates([*COMMON, *OWN]))
        WhiteRabbitExecuteComponentOperator(task_id="endless", module="PAY", timeout=float("inf"))
    assert serialized(dag).get_task("pay").timeout == "{{ params.timeout }}"
    assert serialized(dag).get_task("endless").timeout < float("inf")


@pytest.mark.parametrize("by", ["policy", "subclass"])
@pytest.mark.parametrize("task_class", [WhiteRabbitExecuteComponentOperator, WhiteRabbitExecutionSensor])
def test_endless_by(task_class: Any, by: str) -> None:
    """An endless timeout of a cluster policy or a subclass can be stored as JSON too, and never ends."""

    class Endless(task_class):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            if by == "subclass":
                self.timeout = float("inf")

    arguments = {"module": "PAY"} if task_class is WhiteRabbitExecuteComponentOperator else {"execution_id": "e"}
    with DAG("stored", schedule=None) as dag:
        task = Endless(task_id="endless", timeout=5, **arguments)
    if by == "policy":
        task.timeout = float("inf")
    assert task._deadline(None) is None
    json.dumps(task.timeout, allow_nan=False)
    assert serialized(dag).get_task("endless").timeout == task.timeout


def test_replays() -> None:
    """How often the recovery replays a callback in vain can be a template."""
    operator = WhiteRabbitReplayCallbacksOperator(
        task_id="replay", submitted=Asset("x-tests://submitted"), max_replays="{{ params.max_replays }}"
    )
    with pytest.raises(exc.WhiteRabbitInputError, match=r"^max_replays must be .*got 'x' \(rendered from"):
        render(operator, max_replays="x").execute({})
