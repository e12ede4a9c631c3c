"""Inputs in JSON files beside a DAG, which Airflow renders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.operators.remotes import component_operator
from tests.serialization import serialized

CONTEXT: Any = {"amount": "100", "memo": 'a "memo"', "ds": "2026-11-24"}


@pytest.fixture
def parse(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that makes a task, of a DAG beside which are files, as Airflow's DAG processor does."""

    def parse(native: bool = False, loads: bool = True, files: Any = (), jinja: Any = None, **arguments: Any) -> Any:
        for name, text in dict(files).items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        with DAG(
            "files",
            schedule=None,
            template_searchpath=str(tmp_path),
            render_template_as_native_obj=native,
            jinja_environment_kwargs=jinja,
        ) as dag:
            task = component_operator(**arguments)
        if loads:
            dag.resolve_template_files()
        return task

    return parse


def sent(airflow: FakeAirflow, wr: Emulator, task: Any) -> Any:
    """Render and execute a task; return the request's input and config."""
    task.render_template_fields(CONTEXT)
    airflow.run(task)
    (submission,) = wr.requests(kind="submit")
    return submission.json["input"], submission.json["config"]


@pytest.mark.parametrize("loads", [True, False], ids=["loaded by Airflow", "dag.test()"])
@pytest.mark.parametrize("native", [False, True])
def test_files(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, parse: Callable[..., Any], native: bool, loads: bool
) -> None:
    """The rendered text of a file is JSON, whatever the DAG makes of other templates."""
    files = {
        "payment.json": r'{"amount": "{{ amount }}", "to": "0x5c", "memo": {{ memo|tojson }}, "ok": "\/\ud83d\ude00"}',
        "config.json.j2": '{"chain": {% if ds %}1{% else %}2{% endif %}, "file": "payment.json"}',
    }
    task = parse(native, loads, files, input="payment.json", config="config.json.j2")
    serialized(task.dag)
    assert sent(airflow, whiterabbit_emulator, task) == (
        {"amount": "100", "to": "0x5c", "memo": 'a "memo"', "ok": "/😀"},
        {"chain": 1, "file": "payment.json"},
    )


def test_native_object(airflow: FakeAirflow, whiterabbit_emulator: Emulator, parse: Callable[..., Any]) -> None:
    """A file that is one template, and a file that looks like Python's dict, are texts of JSON too."""
    files = {"one.json": "{{ {'a': amount} | tojson }}", "two.json": '{"a": "100"}'}
    task = parse(True, True, files, input="one.json", config="two.json")
    assert sent(airflow, whiterabbit_emulator, task) == ({"a": "100"}, {"a": "100"})


PARTS = {
    "part.json": r'{"a": "100", "ok": "\/\ud83d\ude00"}',
    "quote.j2": '{% macro quote(text) %}"{{ text }}"{% endmacro %}',
    "base.json": '{"a": {% block a %}{% endblock %}}',
}


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("jinja", [None, {"lstrip_blocks": True, "trim_blocks": True}], ids=["", "trimming"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{%- set x = 1 -%}\n{"a": "100", "ok": "\\/"}', {"a": "100", "ok": "/"}),
        ('{#- a comment -#}\n{"a": "0x5c"}', {"a": "0x5c"}),
        ('{%- include "part.json" -%}', {"a": "100", "ok": "/😀"}),
        ('{%- import "quote.j2" as m -%}\n{"a": {{ m.quote(amount) }}}', {"a": "100"}),
        ('{% extends "base.json" %}{% block a %}"{{ amount }}"{% endblock %}', {"a": "100"}),
        ('{% set a %}"{{ amount }}"{% endset %}{"a": {{ a }}}', {"a": "100"}),
        ('  {% if ds %}{"a": 1}{% endif %}', {"a": 1}),
        ('{{- {"a": amount} | tojson -}}', {"a": "100"}),
        ('{% raw %}{"a": "{{ b }}"}{% endraw %}', {"a": "{{ b }}"}),
        ('\ufeff{"a": "100"}', {"a": "100"}),
        ('\ufeff{"a": "{{ amount }}"}', {"a": "100"}),
    ],
)
def test_texts_of_files(
    airflow: FakeAirflow,
    whiterabbit_emulator: Emulator,
    parse: Callable[..., Any],
    native: bool,
    jinja: Any,
    text: str,
    expected: Any,
) -> None:
    """Whatever a file has of Jinja, its text renders to the same JSON in each DAG."""
    task = parse(native, True, PARTS | {"x.json": text}, jinja, input="x.json")
    assert sent(airflow, whiterabbit_emulator, task)[0] == expected


@pytest.mark.parametrize("native", [False, True])
def test_two_amounts(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, parse: Callable[..., Any], native: bool
) -> None:
    """A file with a name twice is refused, also if a tag removes what stands before the object."""
    text = '{%- set x = 1 -%}\n{"amount": "100", "amount": "1"}'
    task = parse(native, True, {"x.json": text}, input="x.json")
    task.render_template_fields(CONTEXT)
    with fails_for_good(exc.WhiteRabbitInputError, "the name 'amount' appears twice"):
        airflow.run(task)
    assert not whiterabbit_emulator.journal


def test_other_delimiters(airflow: FakeAirflow, whiterabbit_emulator: Emulator, parse: Callable[..., Any]) -> None:
    """A DAG may have delimiters of its own for Jinja's expressions."""
    jinja = {"variable_start_string": "<<", "variable_end_string": ">>"}
    task = parse(True, True, {"x.json": '{"a": << amount >>, "b": "{ }"}'}, jinja, input="x.json")
    assert sent(airflow, whiterabbit_emulator, task)[0] == {"a": 100, "b": "{ }"}


@pytest.mark.parametrize("loads", [True, False])
def test_mapped(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, parse: Callable[..., Any], tmp_path: Path, loads: bool
) -> None:
    """A mapped task takes files, from `partial` and from `expand`."""
    parse(files={"payment.json": '{"amount": "{{ amount }}"}'})
    with DAG("mapped", schedule=None, template_searchpath=str(tmp_path)) as dag:
        mapped = WhiteRabbitExecuteComponentOperator.partial(task_id="pay", module="PAY", config="payment.json").expand(
            input=["payment.json"]
        )
    if loads:
        dag.resolve_template_files()
    task = mapped.unmap({"input": "payment.json"})
    assert sent(airflow, whiterabbit_emulator, task) == ({"amount": "100"}, {"amount": "100"})


@pytest.mark.parametrize("loads", [True, False])
def test_values_that_end_like_files(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, parse: Callable[..., Any], loads: bool
) -> None:
    """Only the whole `input` or `config` is the name of a file: other values are sent, though such files exist."""
    whiterabbit_emulator.component("X.json")
    task = parse(
        loads=loads,
        files={"a.json": '{"never": "read"}', "X.json": "{}"},
        module="X.json",
        input={"file": "a.json", "list": ["a.json", {"deep": "a.json.j2"}]},
        callback_url="https://example.org/a.json",
        whiterabbit_conn_id="whiterabbit_default",
    )
    given, _ = sent(airflow, whiterabbit_emulator, task)
    assert given == {"file": "a.json", "list": ["a.json", {"deep": "a.json.j2"}]}
    (submission,) = whiterabbit_emulator.requests(kind="submit")
    assert (submission.json["module"], submission.json["callbackUrl"]) == ("X.json", "https://example.org/a.json")


class Reporting(WhiteRabbitExecuteComponentOperator):
    """A user's operator with a template field of its own."""

    template_fields = (*WhiteRabbitExecuteComponentOperator.template_fields, "report")

    def __init__(self, *, report: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.report = report


class ReadingSql(Reporting):
    """A user's operator that reads files of its own."""

    template_ext = (*WhiteRabbitExecuteComponentOperator.template_ext, ".sql")


@pytest.mark.parametrize(
    ("operator", "report", "expected"),
    [(Reporting, "out/{{ ds }}.json", "out/2026-11-24.json"), (ReadingSql, "report.sql", "SELECT '2026-11-24'")],
)
@pytest.mark.parametrize("loads", [True, False])
def test_fields_of_subclasses(
    tmp_path: Path, operator: type[Reporting], report: str, expected: str, loads: bool
) -> None:
    """A subclass's field is the name of a file only if the subclass adds extensions of its own."""
    (tmp_path / "report.sql").write_text("SELECT '{{ ds }}'")
    (tmp_path / "a.json").write_text('{"day": "{{ ds }}"}')
    with DAG("subclass", schedule=None, template_searchpath=str(tmp_path)) as dag:
        task = operator(task_id="pay", module="PAY.json", input="a.json", config={"a": "a.json"}, report=report)
    if loads:
        dag.resolve_template_files()
    task.render_template_fields(CONTEXT)
    assert task.report == expected
    assert (task.module, task.config) == ("PAY.json", {"a": "a.json"})
    assert task._object_argument("input") == {"day": "2026-11-24"}
    assert "report" in task.template_fields
    assert ".json" in task.template_ext


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "a": 1,\n  "b": }', "input: the file x.json, when rendered, is not JSON: .*line 3, column 8"),
        ("{'a': 1}", "is not JSON: .*line 1, column 2"),
        ("", "is not JSON: .*line 1, column 1"),
        ("[1]", "must hold an object, got list"),
        ('{"amount": 1, "amount": 2}', "the name 'amount' appears twice"),
        ('{"amount": NaN}', "NaN is not JSON"),
        ('{"wei": 1000000000000000000}', "input.wei: an integer beyond"),
        ('{"a": ' * 3000 + "1" + "}" * 3000, "when rendered, is not valid|nested deeper"),
    ],
    ids=lambda text: text[:12],
)
def test_wrong_files(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, parse: Callable[..., Any], text: str, message: str
) -> None:
    """A wrong file without templates is found when the DAG is parsed; one with templates, before the submission."""
    with pytest.raises(exc.WhiteRabbitInputError, match=message):
        parse(files={"x.json": text}, input="x.json")
    task = parse(files={"x.json": f"{text}{{# rendered #}}"}, input="x.json")
    task.render_template_fields(CONTEXT)
    with fails_for_good(exc.WhiteRabbitInputError, message):
        airflow.run(task)
    assert not whiterabbit_emulator.journal


def test_no_file(parse: Callable[..., Any]) -> None:
    """A file that does not exist is found when the DAG is parsed."""
    with pytest.raises(
        exc.WhiteRabbitInputError, match=r"^config: the file x\.json can't be read \(TemplateNotFound\)"
    ):
        parse(config="x.json")


def test_no_dag() -> None:
    """A task without a DAG has no folder of files."""
    with pytest.raises(exc.WhiteRabbitInputError, match="can't be found, because the task has no DAG"):
        component_operator(input="x.json").render_template_fields({})


def test_no_message_shows_the_text(parse: Callable[..., Any]) -> None:
    """A file can hold a secret."""
    with pytest.raises(exc.WhiteRabbitInputError) as refused:
        parse(files={"x.json": '{"key": hunter2}'}, input="x.json")
    assert "hunter2" not in str(refused.value)


def test_replaced_after_the_file_was_read(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, parse: Callable[..., Any]
) -> None:
    """A cluster policy or a subclass may give a task another input than the file that the DAG names."""
    task = parse(files={"x.json": "{}"}, input="x.json")
    task.input = {"amount": "{{ amount }}"}
    assert sent(airflow, whiterabbit_emulator, task) == ({"amount": "100"}, {})
