"""`@task.whiterabbit`: an operator whose input a Python function returns."""

from __future__ import annotations

import functools
import itertools
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from types import MappingProxyType
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import (
    DAG,
    AirflowFailException,
    AirflowSkipException,
    TaskDeferred,
    task,
    task_group,
)
from airflow_provider_whiterabbit.decorators import component, parameters
from airflow_provider_whiterabbit.decorators.component import whiterabbit_task
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.links import WhiteRabbitLink
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.secrets import secret
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.harness.standins import RETRIES, FakeAirflow
from tests.failing import fails_for_good
from tests.operators.remotes import REMEDY
from tests.serialization import serialized
from tests.test_parameters import parameters_of
from tests.versions import needs_store

ALICE, BOB = {"to": "alice"}, {"to": "bob"}
TOKEN = secret(variable="token")


def paying(function: Any, *args: Any, native: bool = False, **arguments: Any) -> Any:
    """Return the operator of a DAG that calls a decorated function with these positional arguments, rendered."""
    with DAG("decorated", schedule=None, render_template_as_native_obj=native) as dag:
        task.whiterabbit("PAY", **{"retries": RETRIES} | arguments)(function)(*args)
    (operator,) = dag.tasks
    operator.render_template_fields({"params": {"to": "alice", "count": 3}})
    return operator


def sent(wr: Emulator) -> list[Any]:
    """Return what was submitted."""
    return [entry.json for entry in wr.requests(kind="submit")]


# --- what the function returns


@pytest.mark.parametrize(
    ("returned", "inputs", "config"),
    [
        (ALICE, ALICE, {}),
        ({}, {}, {}),
        (OrderedDict(a=[(1, None), "x.json"]), {"a": [[1, None], "x.json"]}, {}),
        ((MappingProxyType(ALICE), {"fast": True}), ALICE, {"fast": True}),
        (({}, {}), {}, {}),
        ({"text": "{{ params.to }} {% raw %}"}, {"text": "{{ params.to }} {% raw %}"}, {}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("native", [False, True])
def test_returned(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, returned: Any, inputs: Any, config: Any, native: bool
) -> None:
    """The function returns the input, or the input and the config; they are sent as they are, and not rendered."""
    whiterabbit_emulator.script("PAY", output={"paid": 1})
    assert airflow.run(paying(lambda: returned, native=native, task_id="pay")) == {"paid": 1}
    assert sent(whiterabbit_emulator) == [{"module": "PAY", "input": inputs, "config": config}]


def contains_itself() -> Any:
    """Return an object that contains itself twice."""
    value: dict[str, Any] = {}
    value["a"] = value["b"] = value
    return value


async def _coroutine() -> Any:
    return ALICE


MUST = "must return the input, an object .a dict., or the input and the config, a tuple of two objects; got "


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, MUST + "NoneType"),
        ([ALICE], MUST + "list"),
        ("pay.json", MUST + "str"),
        ('{"to": "alice"}', MUST + "str"),
        (7, MUST + "int"),
        ((ALICE,), MUST + "a tuple of 1: dict"),
        ((), MUST + "a tuple of 0: "),
        ((ALICE, None), MUST + "a tuple of 2: dict, NoneType"),
        ((ALICE, ALICE, ALICE, ALICE), MUST + "a tuple of 4: dict, dict, dict$"),
        ((item for item in [ALICE]), MUST + "generator"),
        (type("Payment", (), {}), MUST + "type"),
        ({"amount": float("nan")}, "input.amount: NaN and the infinities are not JSON"),
        ({"amount": 2**53}, "input.amount: an integer beyond"),
        ({1: 2}, r"input\[1\]: the key is a int"),
        ({"a": {1, 2}}, "input.a: a set is not JSON"),
        ({"a": "\ud800"}, "input.a: a lone surrogate"),
        ((ALICE, {"a": b""}), "config.a: a bytes is not JSON"),
        (contains_itself(), "nested deeper than .* levels .or it contains itself."),
    ],
    ids=lambda value: ascii(value).partition(" at 0x")[0][:40],  # without addresses, which differ between processes
)
def test_wrong_value(airflow: FakeAirflow, whiterabbit_emulator: Emulator, returned: Any, message: str) -> None:
    """Whatever else the function returns is refused before anything is stored or sent."""

    def pay() -> Any:
        return returned

    operator = paying(pay)
    with fails_for_good(exc.WhiteRabbitInputError, message):
        airflow.run(operator)
    assert not whiterabbit_emulator.journal
    assert not airflow.happened
    assert operator.input is None  # Airflow may store what a task holds at its end


def test_another_tasks_output(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """An output of another task that the function does not get as an argument is refused with its place."""
    with DAG("other", schedule=None):
        other = WhiteRabbitExecuteComponentOperator(task_id="other", module="X")
    for returned, message in (({"to": other.output}, r"input.to: a \w*XComArg is not JSON"), (other.output, MUST)):
        with fails_for_good(exc.WhiteRabbitInputError, message):
            airflow.run(paying(lambda value=returned: value, task_id="pay"))
    assert not whiterabbit_emulator.journal


def test_coroutine(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """An async function that does not look like one is refused in the worker."""
    coroutine = _coroutine()
    with fails_for_good(exc.WhiteRabbitInputError, MUST + "coroutine"):
        airflow.run(paying(lambda: coroutine, task_id="pay"))
    coroutine.close()
    assert not whiterabbit_emulator.journal


def test_large_input(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A large input is sent whole."""
    payees = [{"to": f"{number:064x}", "amount": str(number)} for number in range(20_000)]
    airflow.run(paying(lambda: {"payees": payees}, task_id="pay"))
    assert sent(whiterabbit_emulator)[0]["input"] == {"payees": payees}


def test_errors_of_the_function(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """An error of the function keeps the retries where a retry can help, and a skip skips the task."""

    def fail(error: Exception) -> Any:
        raise error

    expected = ZeroDivisionError if airflow.has_store else AirflowFailException
    with pytest.raises(expected, match="no luck"):
        airflow.run(paying(lambda: fail(ZeroDivisionError("no luck")), task_id="pay"))
    with pytest.raises(AirflowSkipException):
        airflow.run(paying(lambda: fail(AirflowSkipException("no order")), task_id="pay"))
    assert not whiterabbit_emulator.journal
    assert not airflow.happened


# --- arguments of the function


def test_arguments(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """Arguments are rendered; the function gets of Airflow's context what it names, and defaults stay."""

    def pay(to: str, *, amount: int = 5, ti: Any = None, dag_run: Any = None, file: str = "x.json") -> Any:
        return {"to": to, "amount": amount, "try": ti.try_number, "clears": dag_run.clear_number, "file": file}

    airflow.run(paying(pay, "{{ params.to }}"))
    assert sent(whiterabbit_emulator)[0]["input"] == {
        "to": "alice",
        "amount": 5,
        "try": 1,
        "clears": 0,
        "file": "x.json",
    }


def test_all_of_the_context(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A function with ``**context`` gets all of Airflow's context."""
    airflow.run(paying(lambda to, **context: {"to": to, "try": context["ti"].try_number}, "bob", task_id="pay"))
    assert sent(whiterabbit_emulator)[0]["input"] == {"to": "bob", "try": 1}


def test_names_of_the_context(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """An argument with the name of an object of Airflow is the function's own; the task still uses Airflow's object."""
    with DAG("decorated", schedule=None) as dag:
        whiterabbit_task("PAY", task_id="pay", retries=RETRIES)(
            lambda ti=None, dag_run=None: {"to": ti, "by": dag_run}
        )(ti="alice", dag_run="bob")
    airflow.run(dag.get_task("pay"))
    assert sent(whiterabbit_emulator)[0]["input"] == {"to": "alice", "by": "bob"}
    assert airflow.ti.ids


def test_texts_that_look_like_files(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A text argument that ends in ``.json`` is no file, which Airflow would read when it parses the DAG."""
    operator = paying(lambda name: {"name": name}, "order.json", task_id="pay")
    operator.resolve_template_files()
    airflow.run(operator)
    assert sent(whiterabbit_emulator)[0]["input"] == {"name": "order.json"}


def test_texts_that_look_like_numbers(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A text argument of which Airflow made a number is refused; a template may render to one."""
    called: list[Any] = []
    with fails_for_good(exc.WhiteRabbitInputError, r"op_args\[0\]: the DAG holds a text here, but Airflow made"):
        airflow.run(paying(lambda to: called.append(to) or {"to": to}, "0x5c", native=True, task_id="pay"))
    assert not called
    airflow.run(paying(lambda count: {"count": count}, "{{ params.count }}", native=True, task_id="pay"))
    assert sent(whiterabbit_emulator)[0]["input"] == {"count": 3}


# --- what Airflow is told when it parses the DAG


async def _async_function() -> Any:
    return ALICE


async def _async_generator() -> AsyncIterator[Any]:
    yield ALICE


def _generator() -> Iterator[Any]:
    yield ALICE


@pytest.mark.parametrize(
    "function",
    [_async_function, _async_generator, _generator, functools.partial(_async_function)],
    ids=["async", "async generator", "generator", "partial"],
)
def test_wrong_function(function: Any) -> None:
    """A function that can't return the input is refused when the DAG is parsed, mapped or not."""
    with pytest.raises(exc.WhiteRabbitInputError, match="is async or a generator"):
        task.whiterabbit("PAY")(function)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"input": ALICE}, exc.WhiteRabbitInputError, "takes no input, because its function returns the input"),
        ({"attempts": 9}, exc.WhiteRabbitInputError, "attempts"),
        ({"module": ""}, exc.WhiteRabbitInputError, "module"),
        ({"timeout": "1h"}, exc.WhiteRabbitInputError, "timeout"),
        ({"deferrable": "{{ params.x }}"}, exc.WhiteRabbitInputError, "deferrable"),
        ({"start_from_trigger": True}, Exception, "start_from_trigger"),
        ({"defferable": True}, Exception, "defferable"),
    ],
    ids=repr,
)
def test_wrong_argument(arguments: Any, error: type[Exception], message: str) -> None:
    """A wrong argument is refused when the DAG is parsed, from the decorator or from `override`."""
    for decorated in (
        task.whiterabbit(**{"module": "PAY"} | arguments)(lambda: ALICE),
        task.whiterabbit("PAY")(lambda: ALICE).override(**arguments),
    ):
        with DAG("decorated", schedule=None), pytest.raises(error, match=message):
            decorated.override(task_id="pay")()


def test_without_a_module() -> None:
    """Without a module, the decorator says what is missing."""
    with pytest.raises(exc.WhiteRabbitInputError, match=r'needs the module: @task.whiterabbit\("RANDOM_UUID"\)'):
        task.whiterabbit(_generator)
    with pytest.raises(TypeError, match="module"):
        task.whiterabbit()


def test_output_of_another_task_as_the_module() -> None:
    """The module may be another task's output."""
    with DAG("decorated", schedule=None) as dag:
        module = WhiteRabbitExecuteComponentOperator(task_id="choose", module="X").output
        task.whiterabbit(module, task_id="pay")(lambda: ALICE)()
    assert dag.get_task("pay").upstream_task_ids == {"choose"}


def test_config_twice(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A config that the decorator and the function give is refused; one of them is enough."""
    with fails_for_good(exc.WhiteRabbitInputError, "returns a config, but its @task.whiterabbit has a config"):
        airflow.run(paying(lambda: (ALICE, {}), task_id="pay", config={"fast": False}))
    assert not whiterabbit_emulator.journal
    airflow.run(paying(lambda: ALICE, task_id="pay", config={"for": "{{ params.to }}"}))
    assert sent(whiterabbit_emulator)[0]["config"] == {"for": "alice"}


def test_config_file(airflow: FakeAirflow, whiterabbit_emulator: Emulator, tmp_path: Any) -> None:
    """The config may be a file, as for the operator."""
    (tmp_path / "fast.json").write_text('{"for": "{{ params.to }}"}')
    with DAG("decorated", schedule=None, template_searchpath=str(tmp_path)) as dag:
        whiterabbit_task("PAY", task_id="pay", config="fast.json")(lambda: ALICE)()
    (operator,) = dag.tasks
    operator.resolve_template_files()
    operator.render_template_fields({"params": {"to": "bob"}})
    airflow.run(operator)
    assert sent(whiterabbit_emulator)[0]["config"] == {"for": "bob"}


# --- tries


@needs_store
def test_retry(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A retry calls the function again, and waits for what the first try has submitted for the same request."""
    whiterabbit_emulator.script("PAY", output={"paid": 1}, manual=True)
    with pytest.raises(TaskDeferred):
        airflow.run(paying(lambda: ALICE, task_id="pay", deferrable=True))
    whiterabbit_emulator.complete(whiterabbit_emulator.executions[0]["id"], {"paid": 1})
    assert airflow.run(paying(lambda: dict(ALICE), task_id="pay", deferrable=True), 2) == {"paid": 1}
    assert len(sent(whiterabbit_emulator)) == 1


@needs_store
@pytest.mark.parametrize("ended", [False, True])
def test_other_value_in_a_retry(airflow: FakeAirflow, whiterabbit_emulator: Emulator, ended: bool) -> None:
    """A function that returns something else in a retry leaves a doubt, and no second submission, in any try."""
    whiterabbit_emulator.script("PAY", manual=True)
    count = itertools.count()
    with pytest.raises(TaskDeferred):
        airflow.run(paying(lambda: {"order": next(count)}, task_id="pay", deferrable=True))
    (execution,) = whiterabbit_emulator.executions
    if ended:
        whiterabbit_emulator.complete(execution["id"], {"paid": 1})
    for try_number in (2, 3):
        with pytest.raises(AirflowFailException, match="This task submitted another request before") as caught:
            airflow.run(paying(lambda: {"order": next(count)}, task_id="pay", deferrable=True), try_number)
        assert execution["id"] in str(caught.value)
        assert REMEDY in str(caught.value)
    assert sent(whiterabbit_emulator) == [{"module": "PAY", "input": {"order": 0}, "config": {}}]


@needs_store
def test_error_in_a_retry(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A wrong value in a retry names what the first try has submitted."""
    whiterabbit_emulator.script("PAY", manual=True)
    with pytest.raises(TaskDeferred):
        airflow.run(paying(lambda: ALICE, task_id="pay", deferrable=True))
    (execution,) = whiterabbit_emulator.executions
    with fails_for_good(exc.WhiteRabbitInputError, f"got NoneType .The execution {execution['id']} was submitted."):
        airflow.run(paying(lambda: None, task_id="pay", deferrable=True), 2)


@needs_store
def test_skip_in_a_retry(airflow: FakeAirflow, whiterabbit_emulator: Emulator, read_log: Callable[[], str]) -> None:
    """A retry whose function skips the task says what may still be running."""

    def skip() -> Any:
        raise AirflowSkipException("no order")

    whiterabbit_emulator.script("PAY", manual=True)
    with pytest.raises(TaskDeferred):
        airflow.run(paying(lambda: ALICE, task_id="pay", deferrable=True))
    (execution,) = whiterabbit_emulator.executions
    with pytest.raises(AirflowSkipException):
        airflow.run(paying(skip), 2)
    assert f"The execution {execution['id']}, which an earlier try has submitted, may still be running" in read_log()


def test_retry_without_a_store(whiterabbit_emulator: Emulator) -> None:
    """Before Airflow 3.3, a retry fails rather than submits, also if the function returns something else."""
    airflow = FakeAirflow(has_store=False)
    airflow.run(paying(lambda: ALICE, task_id="pay"))
    with pytest.raises(AirflowFailException, match="not known whether"):
        airflow.run(paying(lambda: BOB, task_id="pay"), 2)
    assert len(sent(whiterabbit_emulator)) == 1


def test_resume(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A task that was deferred does not call its function again, and neither keeps its input meanwhile."""
    calls: list[Any] = []

    def pay() -> Any:
        calls.append(ALICE)
        return ALICE

    whiterabbit_emulator.script("PAY", manual=True)
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(paying(pay, deferrable=True))
    deferred = caught.value
    (execution,) = whiterabbit_emulator.executions
    assert deferred.kwargs == {"identity": execution["id"]}
    assert "alice" not in repr(deferred.trigger.serialize())
    whiterabbit_emulator.complete(execution["id"], {"paid": 1})
    resumed = paying(pay, deferrable=True)
    event = {"execution_id": execution["id"], "status": "COMPLETED"}
    kwargs = {**(deferred.kwargs or {}), "event": event}
    assert resumed.resume_execution(deferred.method_name, kwargs, airflow.context(resumed)) == {"paid": 1}
    assert calls == [ALICE]


def test_copy(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """The task is deferred also if it is a copy of the task in the context, as in Airflow 3.0."""
    whiterabbit_emulator.script("PAY", manual=True)
    operator = paying(lambda: ALICE, task_id="pay", deferrable=True)
    context = airflow.context(operator)
    with pytest.raises(TaskDeferred):
        operator.prepare_for_execution().execute(context)


def test_kill(airflow: FakeAirflow, whiterabbit_emulator: Emulator, read_log: Callable[[], str]) -> None:
    """A task that is killed while it waits logs what may still be running."""
    operator = paying(lambda: ALICE, task_id="pay")
    operator._unfinished = "The execution x"
    operator.on_kill()
    assert "The execution x may still be running at White Rabbit" in read_log()


# --- nested operators


def test_sensor_in_the_function(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A sensor in the function's code waits there: a deferral of it would resume the task without its submission."""
    first = whiterabbit_emulator.create_execution("FIRST", output={"to": "alice"}, after=0.5)
    context: dict[str, Any] = {}

    def pay() -> Any:
        sensor = WhiteRabbitExecutionSensor(task_id="first", execution_id=first, deferrable=True, poke_interval=0.01)
        sensor.whiterabbit_hook.timing = airflow.timing
        return sensor.execute(context)  # type: ignore[arg-type]

    operator = paying(pay)
    context |= airflow.context(operator)
    airflow.run(operator)
    assert sent(whiterabbit_emulator)[0]["input"] == {"to": "alice"}


def test_operator_in_the_function(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A second operator in the function's code is refused."""
    with DAG("decorated", schedule=None):
        inner = WhiteRabbitExecuteComponentOperator(task_id="inner", module="FIRST")
    with fails_for_good(exc.WhiteRabbitInputError, "executes operators more than once"):
        airflow.run(paying(lambda **context: inner.execute(context), task_id="pay"))  # type: ignore[arg-type]
    assert not whiterabbit_emulator.journal


# --- secrets


def test_secret(airflow: FakeAirflow, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function may name the secrets that `allowed_secrets` lists; any other name may have come with data."""
    monkeypatch.setenv("AIRFLOW_VAR_TOKEN", "sesame-open-up")
    refused: list[dict[str, Any]] = [{}, {"config": {"token": TOKEN}}, {"allowed_secrets": [secret(variable="other")]}]
    for arguments in refused:
        with fails_for_good(exc.WhiteRabbitInputError, "input.token names the variable 'token'.*allowed_secrets="):
            airflow.run(paying(lambda: {"token": TOKEN}, task_id="pay", **arguments))
    assert not whiterabbit_emulator.journal
    operator = paying(lambda: ({"token": TOKEN}, {"t": TOKEN}), task_id="pay", allowed_secrets=[TOKEN], deferrable=True)
    whiterabbit_emulator.script("PAY", manual=True)
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(operator)
    filled = {"input": {"token": "sesame-open-up"}, "config": {"t": "sesame-open-up"}}
    assert sent(whiterabbit_emulator) == [{"module": "PAY", **filled}]
    assert (caught.value.kwargs or {})["secrets"] == [TOKEN]
    assert (operator.input, operator.config) == ({"token": TOKEN}, {"t": TOKEN})


def test_secret_of_the_config(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decorator's own config names secrets without more."""
    monkeypatch.setenv("AIRFLOW_VAR_TOKEN", "sesame-open-up")
    airflow.run(paying(lambda: ALICE, task_id="pay", config={"token": TOKEN}))
    assert sent(whiterabbit_emulator)[0]["config"] == {"token": "sesame-open-up"}


# --- DAGs


def unmapped(dag: Any, task_id: str, op_kwargs: dict[str, Any]) -> Any:
    """Return a task of a mapped one, rendered, as Airflow makes it in the worker."""
    mapped = dag.get_task(task_id)
    operator = mapped.unmap({"op_kwargs": op_kwargs})
    operator._do_render_template_fields(
        operator, mapped.template_fields, {"params": {"to": "alice"}}, mapped.get_template_env(), set()
    )
    return operator


def test_mapped(whiterabbit_emulator: Emulator) -> None:
    """Mapped tasks get arguments of `partial` and `expand`, and the decorator's parameters."""

    @task.whiterabbit("PAY", retries=RETRIES, attempts="3", config={"for": "{{ params.to }}"})
    def pay(to: str, amount: int) -> Any:
        return {"to": to, "amount": amount}

    with DAG("decorated", schedule=None) as dag:
        pay.partial(amount=5).expand(to=["bob", "carol"])
        pay.override(task_id="other", module="TRANSFER").expand_kwargs([{"to": "bob", "amount": 1}])
    assert serialized(dag).task_ids == ["pay", "other"]
    FakeAirflow().run(unmapped(dag, "pay", {"to": "bob"}))
    FakeAirflow().run(unmapped(dag, "other", {"to": "bob", "amount": 1}))
    common = {"config": {"for": "alice"}, "attempts": 3}
    assert sent(whiterabbit_emulator) == [
        {"module": "PAY", "input": {"to": "bob", "amount": 5}, **common},
        {"module": "TRANSFER", "input": {"to": "bob", "amount": 1}, **common},
    ]


def test_mapped_secrets(airflow: FakeAirflow, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapped task may name what the decorator allows, and data can't allow itself anything."""
    monkeypatch.setenv("AIRFLOW_VAR_TOKEN", "sesame-open-up")
    with DAG("decorated", schedule=None) as dag:
        for task_id, arguments in (("allowed", {"allowed_secrets": [TOKEN]}), ("refused", {})):
            task.whiterabbit("PAY", task_id=task_id, **arguments)(lambda token: {"token": token}).expand(token=[TOKEN])
    with fails_for_good(exc.WhiteRabbitInputError, "input.token names the variable 'token'"):
        airflow.run(unmapped(dag, "refused", {"token": TOKEN}))
    airflow.run(unmapped(dag, "allowed", {"token": TOKEN}))
    assert [submission["input"] for submission in sent(whiterabbit_emulator)] == [{"token": "sesame-open-up"}]


def test_serialized() -> None:
    """Airflow's other processes see a task like others, with its links, and without its function."""
    with DAG("decorated", schedule=None) as dag:

        @task_group
        def group(to: str) -> None:
            @task.whiterabbit("PAY", deferrable=True, end_from_trigger=True)
            def pay(payee: str) -> dict[str, Any]:
                """Pay."""
                return {"to": payee}

            pay(to)
            pay(to)

        group("alice")
    read = serialized(dag).get_task("group.pay__1")
    assert read.task_type == component._WhiteRabbitDecoratedOperator.__name__
    assert read.operator_name == "@task.whiterabbit"
    assert "input" not in read.template_fields
    own = dag.get_task("group.pay__1")
    assert own.doc_md == "Pay."
    assert own.multiple_outputs is False  # in spite of the annotation, which is that of the input
    assert own.ends_in_triggerer


def test_multiple_outputs() -> None:
    """Each member of the output becomes an XCom if the DAG says so."""
    assert paying(lambda: ALICE, task_id="pay", multiple_outputs=True).multiple_outputs is True


def test_default_args() -> None:
    """A DAG's `default_args` count, as for the operator."""
    with DAG("decorated", schedule=None, default_args={"whiterabbit_conn_id": "other", "attempts": 2}) as dag:
        whiterabbit_task("PAY", task_id="pay")(lambda: ALICE)()
    assert (dag.get_task("pay").whiterabbit_conn_id, dag.get_task("pay").attempts) == ("other", 2)


def test_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks have the link to the dashboard, mapped ones too."""
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__DASHBOARD_LINKS", "True")
    with DAG("decorated", schedule=None) as dag:
        pay = task.whiterabbit("PAY", task_id="pay")(lambda to="alice": {"to": to})
        pay()
        pay.override(task_id="mapped").expand(to=["bob"])
    for found in dag.tasks:
        assert [type(link) for link in found.operator_extra_links] == [WhiteRabbitLink]


# --- types


def test_parameters() -> None:
    """Type checkers know all parameters of the operator but `input`."""
    own = {name for name in parameters_of(WhiteRabbitExecuteComponentOperator) if name not in ("input", "kwargs")}
    shared = set(parameters.TaskParameters.__annotations__)
    assert set(parameters.ComponentTaskParameters.__annotations__) == (own - {"module"}) | shared | {"task_id"}
