"""Texts that Airflow turns into numbers, in a DAG with ``render_template_as_native_obj``."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import DAG, AirflowFailException
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.world.catalogue import BUILT_IN
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.operators.remotes import component_operator

pytestmark = pytest.mark.usefixtures("emulator_connection")

CONTEXT: Any = {"wei": "1000000000000000000", "count": 3, "ds": "2026-11-24"}


@pytest.fixture
def airflow() -> FakeAirflow:
    """Return an Airflow that executes tasks."""
    return FakeAirflow()


def rendered(native: bool = True, **arguments: Any) -> Any:
    """Return a component operator whose templates were rendered."""
    with DAG("native", schedule=None, render_template_as_native_obj=native):
        task = component_operator(**arguments)
    task.render_template_fields(CONTEXT)
    return task


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"input": {"amount": "100"}}, "input.amount"),
        ({"input": {"to": ["0x5c", "x"]}}, r"input.to\[0\]"),
        ({"config": {"chain": {"id": "1.0"}}}, "config.chain.id"),
        ({"input": {"flag": "True"}}, "input.flag"),
        ({"input": {"memo": ""}}, "input.memo"),
        ({"input": {"memo": "[1, 2]"}}, "input.memo"),
        ({"input": {"a.b": "100", "a": {"b": "{{ count }}"}}}, "input.a.b"),
        ({"input": {"a[0]": "100", "a": ["{{ count }}"]}}, r"input.a\[0\]"),
        ({"input": {"count": 100, "amount": "100"}}, "input.amount"),
        ({"config": {"input": {"a": 5}, "a": "5"}, "input": {"a": 5}}, "config.a"),
        ({"callback": "2024"}, "callback"),
        ({"input": {"count": "{{ count }}", "day": "{{ ds }}", "amount": "7"}}, "input.amount"),
    ],
    ids=str,
)
def test_texts_without_a_template(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, arguments: dict[str, Any], place: str
) -> None:
    """A text without a template that Airflow made another value of is refused, with its place and the remedy."""
    with fails_for_good(exc.WhiteRabbitInputError, f"^{place}: .* render_template_as_native_obj=True"):
        airflow.run(rendered(**arguments))
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize("native", [True, False])
def test_texts_that_stay_texts(airflow: FakeAirflow, whiterabbit_emulator: Emulator, native: bool) -> None:
    """Quotes in a text keep it a text, as the message says; templates may render to numbers."""
    quote = "'" if native else ""
    values = {"amount": f"{quote}100{quote}", "wei": f"{quote}{{{{ wei }}}}{quote}", "count": "{{ count }}", "n": 3}
    airflow.run(rendered(native, input=values))
    (submission,) = whiterabbit_emulator.requests(kind="submit")
    count = 3 if native else "3"
    assert submission.json["input"] == {"amount": "100", "wei": CONTEXT["wei"], "count": count, "n": 3}


def test_templates_of_large_numbers(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """An error about a value that was a template names Airflow's option; an error about another value does not."""
    with fails_for_good(exc.WhiteRabbitInputError, r"^input.wei: an integer .* render_template_as_native_obj=True"):
        airflow.run(rendered(input={"wei": "{{ wei }}"}))
    mixed = rendered(input={"count": "{{ count }}", "wei": "{{ wei | string }} wei"})
    mixed.input["wei"] = 10**18
    with fails_for_good(exc.WhiteRabbitInputError, "an integer") as other:
        airflow.run(mixed)
    assert "native" not in str(other.value)
    assert not whiterabbit_emulator.journal


def test_place_of_a_template(airflow: FakeAirflow) -> None:
    """An error names the template of its own place, not one at a place that ends with the same names."""
    task = rendered(input={"wei": "{{ count }}"}, config={"input": {"wei": "{{ wei }}"}})
    with fails_for_good(exc.WhiteRabbitInputError, r"^config\.input\.wei: .* The template of config\.input\.wei"):
        airflow.run(task)


def test_object_without_comparison(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A template may render to an object whose comparison raises, as those of numpy and pandas do."""

    class Table:
        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth value of a table is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    for edited in False, True:
        with DAG("native", schedule=None, render_template_as_native_obj=True):
            task = component_operator(input={"table": "{{ table }}"})
        task.render_template_fields({"table": Table()})
        if edited:
            task.input["table"] = Table()
        with fails_for_good(exc.WhiteRabbitInputError, r"input\.table: a Table is not JSON"):
            airflow.run(task)
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize(("text", "what"), [("12345", "the DAG holds a text"), ("{{ wei }}", "The template of")])
def test_ids_of_sensors(airflow: FakeAirflow, text: str, what: str) -> None:
    """An id of digits is no text any more in such a DAG; the error says why."""
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id=text)
    sensor.render_template_fields(CONTEXT)
    with pytest.raises(AirflowFailException, match=f"^execution_id.*{what}.*render_template_as_native_obj=True"):
        sensor.poke(airflow.context(sensor))


def test_templates_of_another_type(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """An error of `validate=True` about a value that was a template names Airflow's option too."""
    schema = {"name": "to", "schema": {"type": "string"}}
    whiterabbit_emulator.add_component({**BUILT_IN[0], "module": "PAY", "inputs": {"parameters": [schema]}})
    with fails_for_good(exc.WhiteRabbitInputError, "input.to: expected string, got int.*template of input.to.*native"):
        airflow.run(rendered(input={"to": "{{ count }}"}, validate=True))
    assert not whiterabbit_emulator.requests(kind="submit")


def test_no_message_shows_the_text(airflow: FakeAirflow) -> None:
    """A text can be a secret, such as a key that consists of digits."""
    with fails_for_good(exc.WhiteRabbitInputError) as refused:
        airflow.run(rendered(input={"key": "0x1234567"}))
    assert "1234567" not in str(refused.value)
    assert str(0x1234567) not in str(refused.value)


def test_workflow_ids(airflow: FakeAirflow) -> None:
    """A workflow's id of digits is refused in the same way."""
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        task = WhiteRabbitTriggerWorkflowOperator(task_id="go", workflow_id="12345")
    task.render_template_fields(CONTEXT)
    with fails_for_good(exc.WhiteRabbitInputError, "^workflow_id: .* render_template_as_native_obj=True"):
        airflow.run(task)
