"""Inputs that name secrets: the request holds the secrets, and nothing else does."""

from __future__ import annotations

import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import DAG, AirflowFailException, TaskDeferred, task
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from airflow_provider_whiterabbit.secrets import secret
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.operators.remotes import component_operator
from tests.serialization import serialized

URL = "https://evm.example.org/v2/Kj7dYw2mZq91XvbT"
TOKEN = "tok-5Hs8Rr3+/Lp0Wq"
EVM = secret(connection="evm", field="extra.rpc_url")
API = secret(variable="api_token")
NAMED = {"jsonRpcUrl": EVM, "headers": {"Authorization": f"Bearer {API}", "list": [1, f"{API}{EVM}"]}}
FILLED = {"jsonRpcUrl": URL, "headers": {"Authorization": f"Bearer {TOKEN}", "list": [1, f"{TOKEN}{URL}"]}}


@pytest.fixture(autouse=True)
def _stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store the secrets where Airflow's secrets backends find them."""
    connection = {"conn_type": "http", "host": "node.example.org", "port": 8545, "extra": {"rpc_url": URL, "list": [1]}}
    monkeypatch.setenv("AIRFLOW_CONN_EVM", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_VAR_API_TOKEN", f"{TOKEN}\n")
    monkeypatch.setenv("AIRFLOW_VAR_OTHER", "another secret")
    monkeypatch.setenv("AIRFLOW_VAR_EMPTY", "\n")


def render(operator: Any, native: bool = False, **values: Any) -> Any:
    """Render an operator's templates, in which ``params`` holds the given values."""
    with DAG("secrets", schedule=None, render_template_as_native_obj=native) as dag:
        dag.add_task(operator)
    operator.render_template_fields({"params": values})
    return operator


def named(native: bool = False, **arguments: Any) -> Any:
    """Return a rendered operator whose input names secrets."""
    return render(component_operator(**{"input": NAMED, **arguments}), native)


def sent(wr: Emulator) -> Any:
    """Return the input of the only submission."""
    (submission,) = wr.requests(kind="submit")
    return submission.json["input"]


def shown(operator: Any, airflow: FakeAirflow, caplog: pytest.LogCaptureFixture) -> str:
    """Return everything that a task shows or stores."""
    fields = {name: getattr(operator, name) for name in operator.template_fields}
    return f"{operator!r}{vars(operator)!r}{fields!r}{caplog.text}{airflow._store.values!r}{airflow.ti.pushes!r}"


def assert_hidden(text: str) -> None:
    """Fail if a text holds a part of a secret."""
    for value in (URL, TOKEN):
        for form in (value, quote(value, safe=""), json.dumps(value)[1:-1]):
            assert form[-10:] not in text
            assert form[8:18] not in text


@pytest.mark.parametrize("native", [False, True])
def test_request(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, native: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The request holds the secrets, also in longer texts; the task, its log, its state and its XComs hold names."""
    caplog.set_level(logging.DEBUG)
    whiterabbit_emulator.script("PAY", output={"paid": 1})
    operator = named(native, config={"url": EVM})
    airflow.run(operator)
    assert sent(whiterabbit_emulator) == FILLED
    assert whiterabbit_emulator.requests(kind="submit")[0].json["config"] == {"url": URL}
    assert operator.input == NAMED
    assert_hidden(shown(operator, airflow, caplog))


@pytest.mark.parametrize(
    ("field", "value"),
    [("host", "node.example.org"), ("port", "8545"), ("extra.rpc_url", URL)],
)
def test_fields(airflow: FakeAirflow, whiterabbit_emulator: Emulator, field: str, value: str) -> None:
    """A field of a connection is read as text."""
    airflow.run(named(input={"a": secret(connection="evm", field=field)}))
    assert sent(whiterabbit_emulator) == {"a": value}


def test_serialized_dag() -> None:
    """The serialized DAG holds the names."""
    with DAG("secrets", schedule=None) as dag:
        component_operator(input=NAMED)
    assert serialized(dag).get_task("pay").input == NAMED


def test_digest(airflow: FakeAirflow, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest is of the names: a retry after a key was rotated finds the submission."""
    whiterabbit_emulator.script("PAY", manual=True)
    with pytest.raises(TaskDeferred):
        airflow.run(named(deferrable=True))
    before = airflow.store.record["request"]
    monkeypatch.setenv("AIRFLOW_VAR_API_TOKEN", "rotated since then")
    with pytest.raises(TaskDeferred):
        airflow.run(named(deferrable=True), try_number=2)
    assert airflow.store.record["request"] == before
    assert len(whiterabbit_emulator.requests(kind="submit")) == 1


MISSING = [
    # Without an API server, Airflow 3.0 can't say that a variable is missing, nor 3.1.0 that a connection is.
    (
        secret(variable="nowhere"),
        exc.WhiteRabbitSecretError,
        "the variable 'nowhere', (but there is no such|which could)",
    ),
    (
        secret(connection="nowhere"),
        exc.WhiteRabbitSecretError,
        "of the connection 'nowhere', (but there is no such conn|which could)",
    ),
    (secret(variable="empty"), exc.WhiteRabbitConfigError, "the variable 'empty', which is empty"),
    (
        secret(connection="evm"),
        exc.WhiteRabbitConfigError,
        "the field 'password' of the connection 'evm', which is mis",
    ),
    (secret(connection="evm", field="extra.x"), exc.WhiteRabbitConfigError, "'extra.x' of the connection 'evm', which"),
    (secret(connection="evm", field="extra.list"), exc.WhiteRabbitConfigError, "which is no text, but a list"),
]


@pytest.mark.parametrize(("name", "error", "message"), MISSING, ids=[name for name, _, _ in MISSING])
def test_missing(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, name: str, error: type[Exception], message: str
) -> None:
    """What is missing is named with the place of the input, before anything is sent.

    Airflow reports a backend that is down as a missing variable or connection, so that is tried again.
    """
    with pytest.raises((error, AirflowFailException)) as caught:
        airflow.run(named(input={"a": {"b": [f"x {name}"]}}))
    assert re.match(rf"input\.a\.b\[0\] names (the field )?.*{message}", str(caught.value))
    assert not whiterabbit_emulator.journal
    is_final = isinstance(caught.value, AirflowFailException)
    assert is_final is (error is exc.WhiteRabbitConfigError or not airflow.has_store)
    if airflow.has_store:
        assert airflow.store.record is None


DATA: list[tuple[dict[str, Any], Any]] = [
    ({"a": "{{ params.x }}"}, EVM),
    ({"a": "{{ params.x }}"}, secret(variable="other")),
    ({"a": "before {{ params.x }} after"}, API),
    ({"a": "${secret:{{ params.x }}}"}, "variable:other"),
    ({"a": "{{ params.x }}variable:other}"}, "${secret:"),
    ({"a": f"{{{{ params.x }}}}{API}"}, "${secret:variable:"),
    ({"a": f"{{{{ params.x }}}}{API}}}"}, "${secret:variable:"),
    ({"a": "${sec{{ params.x }}"}, "ret:variable:other}"),
    ({"a": API, "b": "{{ params.x }}"}, API),
    ({"a": API, "b": "{{ params.x.y }}"}, {"y": API}),
    ({"a": f"{API} {{{{ params.x }}}}"}, API),
    ({"a": API, "b": "{{ params.x }}"}, f"${{secret:variable:{API}}}"),
]


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(("given", "data"), DATA, ids=str)
def test_data_that_names_secrets(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, given: dict[str, Any], data: Any, native: bool
) -> None:
    """Data that names a secret is refused, also if the DAG names the same one elsewhere, or data gives parts alone."""
    try:
        operator = component_operator(input=given)
    except exc.WhiteRabbitInputError:
        return  # a template within a name is refused when the DAG is parsed
    render(operator, native, x=data)
    operator.render_template_fields({"params": {"x": data}})  # Airflow 2 may render a task twice
    with fails_for_good(exc.WhiteRabbitInputError, r"^input\.[ab]"):
        airflow.run(operator)
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize("data", [{"a": API}, {"a": [{"b": EVM}]}, {API: 1}], ids=str)
def test_native_objects(airflow: FakeAirflow, whiterabbit_emulator: Emulator, data: Any) -> None:
    """An object from data can't name secrets either, and neither can a text that Python would read as one."""
    for given in (data, repr(data).replace("$", r"\x24")):
        with fails_for_good(exc.WhiteRabbitInputError, r"^input\.a|^input: the name of a member"):
            airflow.run(render(component_operator(input="{{ params.x }}", config={"a": API}), True, x=given))
    assert not whiterabbit_emulator.journal


def test_code(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """Names in what a function returns, or what code sets after the rendering, need the consent of the DAG."""
    for operator in (render(component_operator(input=lambda context, jinja_env: {"a": API})), named(input={})):
        operator.input = {"a": API}
        with fails_for_good(exc.WhiteRabbitInputError, r'allowed_secrets=\["\$\{secret:variable:api_token\}"\]'):
            airflow.run(operator)
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize(("given", "data"), [DATA[0], DATA[2], DATA[8], DATA[9]], ids=str)
def test_allowed_data(airflow: FakeAirflow, whiterabbit_emulator: Emulator, given: dict[str, Any], data: Any) -> None:
    """Data may name the secrets that the DAG allows, and no others."""
    operator = render(component_operator(input=given, allowed_secrets=[EVM, API]), x=data)
    airflow.run(operator)
    assert (URL if data == EVM else TOKEN) in json.dumps(sent(whiterabbit_emulator))
    with fails_for_good(exc.WhiteRabbitInputError, "names the variable 'other'"):
        airflow.run(render(component_operator(input={"a": "{{ params.x }}"}, allowed_secrets=[API]), x=DATA[1][1]))


@pytest.mark.parametrize("value", ["{{ '%s' if params.x else '' }}", "{{ ['%s', params.x] | join(' ') }}", "%s"])
def test_names_in_templates(airflow: FakeAirflow, whiterabbit_emulator: Emulator, value: str) -> None:
    """The text of the DAG may name a secret within a template."""
    airflow.run(render(component_operator(input={"a": value % API}), x="y"))
    assert sent(whiterabbit_emulator)["a"].startswith(TOKEN)


def test_filters(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A filter can't change a name: it would not change the secret."""
    with fails_for_good(exc.WhiteRabbitInputError, r"^input\.a: "):
        airflow.run(named(input={"a": f"{{{{ '{API}' | upper }}}}"}))
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize("place", ["module", "callback_url", "callback"])
def test_other_arguments(airflow: FakeAirflow, whiterabbit_emulator: Emulator, place: str) -> None:
    """Other arguments can't name secrets."""
    arguments = {"module": "PAY", place: f"{{{{ 'https://x/' }}}}{API}"}
    with fails_for_good(exc.WhiteRabbitInputError, f"^{place} can't name a secret"):
        airflow.run(render(component_operator(**arguments)))
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize("place", ["module", "callback_url", "callback"])
def test_other_arguments_of_a_dag(place: str) -> None:
    """A literal that names a secret is refused when the DAG is parsed, and the message names the arguments that may."""
    arguments = {"module": "PAY", place: API}
    with pytest.raises(
        exc.WhiteRabbitInputError, match=f"^{place} can't name a secret; only values in input and config"
    ):
        component_operator(**arguments)
    with pytest.raises(exc.WhiteRabbitInputError, match=f"^{place} can't name a secret; only values in inputs and con"):
        WhiteRabbitExecuteComponentsOperator(task_id="pay", inputs=[], **arguments)


@pytest.mark.parametrize("arguments", [{"input": {"a": "${secret:x}"}}, {"allowed_secrets": "x"}, {"config": {API: 1}}])
def test_mistakes_in_a_dag(arguments: Any) -> None:
    """Mistakes are found when the DAG is parsed."""
    with pytest.raises(exc.WhiteRabbitInputError):
        component_operator(**arguments)


@pytest.fixture
def in_file(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that renders a task with an input in a JSON file."""

    def in_file(text: str, **values: Any) -> Any:
        (tmp_path / "input.json").write_text(text)
        with DAG("files", schedule=None, template_searchpath=str(tmp_path)) as dag:
            operator = component_operator(input="input.json")
        dag.resolve_template_files()
        operator.render_template_fields({"params": values})
        return operator

    return in_file


def test_file(airflow: FakeAirflow, whiterabbit_emulator: Emulator, in_file: Callable[..., Any]) -> None:
    """A JSON file may name secrets."""
    airflow.run(in_file(json.dumps(NAMED) + "{# {{ params.x }} #}", x=API))
    assert sent(whiterabbit_emulator) == FILLED


@pytest.mark.parametrize("data", [API, API.replace("$", r"\u0024"), EVM])
def test_data_in_a_file(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, in_file: Callable[..., Any], data: str
) -> None:
    """Data in a JSON file can't name a secret, also not with JSON's escapes."""
    with fails_for_good(exc.WhiteRabbitInputError, "which the text of the DAG does not name itself"):
        airflow.run(in_file(f'{{"a": "{API}", "b": "{{{{ params.x }}}}"}}', x=data))
    assert not whiterabbit_emulator.journal


def mapped(expand: Callable[[Any], Any], resolved: Any, seen: Any = ()) -> Any:
    """Return a mapped task after the rendering, as Airflow does it.

    :param expand: takes the partial operator and returns the mapped one.
    :param resolved: the arguments of the task, which Airflow resolves.
    :param seen: those of them that come from another task, by `expand`.
    """
    partial = WhiteRabbitExecuteComponentOperator.partial
    with DAG("mapped", schedule=None):
        operator = expand(partial)
    unmapped = operator.unmap(resolved)
    unmapped._do_render_template_fields(
        unmapped, operator.template_fields, {"params": {}}, operator.get_template_env(), {id(value) for value in seen}
    )
    return unmapped


@task
def upstream() -> Any:
    """Return the inputs of mapped tasks."""


def test_mapped_literals(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """Literal inputs of mapped tasks name secrets, by `partial`, `expand` and `expand_kwargs`."""
    inputs = [{"input": NAMED}]
    for operator in (
        mapped(lambda of: of(task_id="pay", module="PAY").expand(input=[NAMED]), {"input": NAMED}),
        mapped(lambda of: of(task_id="pay", module="PAY").expand_kwargs(inputs), inputs[0]),
        mapped(lambda of: of(task_id="pay", module="PAY", input=NAMED).expand(config=[{}]), {"config": {}}),
        mapped(lambda of: of(task_id="pay", input=NAMED).expand_kwargs(upstream()), {"module": "PAY"}),
    ):
        airflow.run(operator)
        assert whiterabbit_emulator.requests(kind="submit")[-1].json["input"] == FILLED


def test_mapped_data(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """Inputs from another task can't name secrets, by `expand` or `expand_kwargs`, nor allow themselves any."""
    given = {"a": API}
    everything = {"module": "PAY", "input": given, "allowed_secrets": [API]}
    for operator in (
        mapped(lambda of: of(task_id="pay", module="PAY").expand(input=upstream()), {"input": given}, [given]),
        mapped(lambda of: of(task_id="pay", module="PAY").expand_kwargs(upstream()), {"input": given}),
        mapped(lambda of: of(task_id="pay").expand_kwargs(upstream()), everything),
    ):
        with fails_for_good(exc.WhiteRabbitInputError, r"^input\.a names the variable 'api_token'"):
            airflow.run(operator)
    assert not whiterabbit_emulator.journal


def test_mapped_data_that_is_allowed(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """The DAG may allow secrets to inputs from another task."""
    given, common = {"a": API}, {"task_id": "pay", "module": "PAY", "allowed_secrets": [API]}
    for operator in (
        mapped(lambda of: of(**common).expand(input=upstream()), {"input": given}, [given]),
        mapped(lambda of: of(**common).expand_kwargs(upstream()), {"input": given}),
    ):
        airflow.run(operator)
        assert whiterabbit_emulator.requests(kind="submit")[-1].json["input"] == {"a": TOKEN}


def repeating(input: Any, config: Any) -> Any:  # noqa: A002 (White Rabbit's word)
    """Fail like a component that repeats its input in its error."""
    address = input["jsonRpcUrl"]
    raise ValueError(
        f"cannot reach {address} ({address[8:]}, {quote(address, safe='')}, {json.dumps(json.dumps(input))})"
    )


def echoing(input: Any, config: Any) -> Any:  # noqa: A002 (White Rabbit's word)
    """Repeat the input in the output."""
    return {"echo": [input, f"{input}", {input["jsonRpcUrl"]: 1}]}


REPEATED = {"FAILED": {"output": repeating}, "an output": {"output": echoing}}


@pytest.mark.parametrize("how", [{}, {"deferrable": True}, {"inline_wait": 1}], ids=str)
@pytest.mark.parametrize("script", REPEATED)
def test_answers_that_repeat_inputs(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, how: Any, script: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An error or an output of White Rabbit that repeats a secret has stars in its place, in every way of waiting."""
    caplog.set_level(logging.DEBUG)
    whiterabbit_emulator.script("PAY", **REPEATED[script], **({} if "inline_wait" in how else {"after": 0.2}))
    operator, text = named(**how), ""
    try:
        text = repr(run_to_end(airflow, operator, "FAILED" if script == "FAILED" else "COMPLETED"))
    except (AirflowFailException, exc.WhiteRabbitError) as error:
        text = "".join(traceback.format_exception(error))
    assert "***" in text
    assert ("FAILED: " in text) is (script == "FAILED")
    assert_hidden(f"{text}{shown(operator, airflow, caplog)}{operator._lineage_facts()}")


def run_to_end(airflow: FakeAirflow, operator: Any, status: str) -> Any:
    """Execute an operator, and resume it in a new process if it defers."""
    if not operator.deferrable:
        return airflow.run(operator)
    with pytest.raises(TaskDeferred) as deferral:
        airflow.run(operator)
    kwargs, trigger = dict(deferral.value.kwargs or {}), deferral.value.trigger.serialize()
    assert trigger[1]["inputs_are_secret"] is True
    assert_hidden(f"{kwargs}{trigger}")
    kwargs["event"] = {"execution_id": kwargs["identity"], "status": status}
    resumed = named(input={"jsonRpcUrl": "edited since"})
    return resumed.resume_execution("execute_complete", kwargs, airflow.context(resumed))


@pytest.mark.parametrize(
    "fault",
    [
        lambda: effects.Answer(422, {"errors": [{"code": "BAD", "message": f"{URL} or {URL[8:30]}"}]}),
        lambda: effects.Answer(500, {"message": quote(TOKEN, safe="")}),
        lambda: effects.Answer(400, f"<html>{URL}"),
        lambda: effects.Reset(),
    ],
)
def test_refusals_that_repeat_inputs(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, fault: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The error, the log and the doubt about a refused or uncertain submission hold no secret."""
    caplog.set_level(logging.DEBUG)
    whiterabbit_emulator.fault(fault(), kind="submit")
    operator = named(on_doubt="fail")
    with pytest.raises((exc.WhiteRabbitError, AirflowFailException)) as caught:
        airflow.run(operator)
    assert_hidden("".join(traceback.format_exception(caught.value)) + shown(operator, airflow, caplog))
    assert_hidden(repr(operator._submission_values()))


def test_secret_that_went_away(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a secret can't be read when the task is resumed, the record is not read, since nothing could be hidden."""
    whiterabbit_emulator.script("PAY", manual=True)
    operator = named(deferrable=True)
    with pytest.raises(TaskDeferred) as deferral:
        airflow.run(operator)
    kwargs: Any = dict(deferral.value.kwargs or {})
    whiterabbit_emulator.complete(kwargs["identity"], {"echo": URL})
    monkeypatch.delenv("AIRFLOW_VAR_API_TOKEN")
    event = {"execution_id": kwargs["identity"], "status": "COMPLETED"}
    resumed = named()
    with pytest.raises((exc.WhiteRabbitSecretError, AirflowFailException), match="an input names the variable"):
        resumed.resume_execution("execute_complete", {**kwargs, "event": event}, airflow.context(resumed))


def test_no_end_in_the_triggerer(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A worker ends the task, since the triggerer does not read secrets."""
    whiterabbit_emulator.script("PAY", manual=True)
    with pytest.raises(TaskDeferred) as deferral:
        airflow.run(named(end_from_trigger=True))
    assert "end_from_trigger" not in deferral.value.trigger.serialize()[1]


def test_no_pickle(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """What holds a secret after the submission can't be pickled."""
    operator = named()
    airflow.run(operator)
    hook = operator.whiterabbit_hook
    for holder in (hook.secret_values, hook.get_conn().hiding, operator._with_secrets(operator._request())):
        with pytest.raises(TypeError, match="can't be pickled"):
            pickle.dumps(holder)
        assert_hidden(repr(holder))


def test_without_names(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A task whose inputs name no secret defers with the arguments that it always had."""
    whiterabbit_emulator.script("PAY", manual=True)
    with pytest.raises(TaskDeferred) as deferral:
        airflow.run(named(input={"a": "$"}, deferrable=True))
    assert (deferral.value.kwargs or {}).keys() == {"identity"}
    assert "inputs_are_secret" not in deferral.value.trigger.serialize()[1]
