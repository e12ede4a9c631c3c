"""Errors of White Rabbit never show a secret that Airflow knows, also not the half of one that is cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.compat import mask_secret
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.ending.storable import check_storable
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.masking import failure_of, masked_error
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.versions import needs_sdk

SECRET = 'https://user:p"assword-of-the-rpc@rpc.example.org/v1/9f8e7d6c5b4a39281706'
FRAGMENT = "assword"


@pytest.fixture(autouse=True)
def known_to_airflow(forget_secrets: None, emulator_connection: None) -> None:
    """Let Airflow know the secret, as it does with the password of a connection that a template has read."""
    mask_secret(SECRET)


def cut_anywhere() -> Iterator[str]:
    """Yield texts with the secret at each place at which something that cuts texts might cut it."""
    for before in (*range(200, 320, 20), *range(430, 520, 15), *range(1050, 1220, 20), *range(1500, 2020, 20)):
        yield f"{'y' * before} POST {SECRET} failed {'z' * 3000}"


def record_of(error: Any) -> Execution:
    """Return the record of an execution that has failed with an error."""
    return Execution.from_dict({"id": "e-1", "status": "FAILED", "module": "PAY", "output": None, "error": error})


@pytest.mark.parametrize("wrap", [str, lambda text: {"message": text}, lambda text: {"a": [{"b": text, text: 1}]}])
def test_failed_executions(wrap: Any) -> None:
    """The secret is hidden before the error is cut, as a text, as a message and deep in JSON."""
    for text in cut_anywhere():
        found = failure_of(record_of(wrap(text)))
        assert FRAGMENT not in found, found
        assert "PAY" in found


def test_failed_workflow_runs() -> None:
    """The same holds for the errors of stages, and for the reason of a cancellation."""
    for text in cut_anywhere():
        stages = [{"id": f"s-{number}", "status": "FAILED", "error": {"message": text}} for number in range(3)]
        failed = {"id": "r-1", "status": "FAILED", "runStages": stages}
        canceled = {"id": "r-1", "status": "CANCELED", "runStages": [], "cancelReason": text}
        for record in failed, canceled:
            assert FRAGMENT not in failure_of(WorkflowRun.from_dict(record))


def test_half_an_emoji() -> None:
    """A lone surrogate, which Airflow's masker can't search, hides no secret from it, and no warning shows the text."""
    for error in (f"\ud83d {SECRET}", {"message": f"{SECRET} \udc00"}, {"\ud83d": [SECRET, {SECRET: "\udfff"}]}):
        found = failure_of(record_of(error))
        assert FRAGMENT not in found, found
        assert "***" in found


def test_records_are_not_changed() -> None:
    """The record itself, which a task can return, keeps the error as it is; errors without secrets are shown whole."""
    record = record_of({"message": SECRET, "é": 1})
    failure_of(record)
    assert record.error == {"message": SECRET, "é": 1}
    assert failure_of(record_of({"é": ["Zürich", 1.5, None]})).endswith('FAILED: {"é": ["Zürich", 1.5, null]}')
    assert masked_error(None) is None


@pytest.mark.parametrize("depth", [100, 900, 990, 1_000, 1_100, 5_000, 50_000, 100_000])
def test_nested_errors(depth: int) -> None:
    """At no depth an error is shown as it is: what can't be searched is not shown."""
    nested: Any = SECRET
    for _ in range(depth):
        nested = [nested]
    found = failure_of(record_of(nested))
    assert FRAGMENT not in found
    assert "nested too deeply" in found or "***" in found or "characters)" in found


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_refusals(whiterabbit_emulator: Emulator, status: int) -> None:
    """A refusal that repeats the input, in either form of the API's errors or in none, shows no part of the secret."""
    hook = WhiteRabbitHook()
    for text in list(cut_anywhere())[::4]:
        one, many = {"code": "BAD", "message": text}, {"errors": [{"code": text, "message": [text]}]}
        for body in (one, many, json.dumps(text)[1:]):
            answer = effects.Answer(status, body)
            whiterabbit_emulator.fault(answer, kind="submit")
            with pytest.raises(exc.WhiteRabbitError) as refused:
                hook.execute_component("PAY", {"rpc": SECRET})
            assert FRAGMENT not in str(refused.value)
            assert FRAGMENT not in repr(refused.value.__cause__)
            whiterabbit_emulator.clear_faults()


@pytest.mark.airflow
def test_task(whiterabbit_emulator: Emulator) -> None:
    """The error of a task whose submission is refused shows the reason, without the secret, and so does its cause."""
    whiterabbit_emulator.fault(effects.Answer(400, {"code": "BAD", "message": f"{'y' * 450} {SECRET}"}), kind="submit")
    task = WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", input={"rpc": SECRET})
    with fails_for_good(exc.WhiteRabbitInvalidRequestError, r"yyy \*\*\*") as failed:
        FakeAirflow().run(task)
    assert FRAGMENT not in f"{failed.value} {failed.value.__cause__!r}"


def bodies(text: str) -> Iterator[Any]:
    """Yield undocumented answers that repeat a text: in place of an id, a status, a module or an object."""
    known = {"id": "e-1", "status": "CREATED", "module": "PAY", "output": None, "error": None, "completed": False}
    yield [text]
    yield text
    for name in ("id", "status", "module"):
        yield {**known, name: f"{text} {SECRET}"}
        yield {**known, name: f"x {SECRET}"}
    yield {**known, "status": [text], "completed": True}


def shown_by(error: BaseException | None) -> Iterator[str]:
    """Yield the texts of an error, and of all errors that led to it and are part of its traceback."""
    while error is not None:
        yield f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize("before", [0, 30, 55, 70, 90, 280])
def test_undocumented_answers(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture, before: int) -> None:
    """No error and no warning about an answer shows a secret that the answer repeats, or a part of it that is cut."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("PAY", manual=True)
    for body in bodies(f"{'y' * before}{SECRET}{'z' * 400}"):
        for kind, task in (
            ("submit", WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", wait_for_completion=False)),
            ("record", WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id)),
        ):
            wr.fault(effects.Answer(200, body), kind=kind, times=None)  # type: ignore[arg-type]
            airflow = FakeAirflow()
            try:
                task.execute(airflow.context(task)) if kind == "submit" else task.poke(airflow.context(task))
            except Exception as error:
                for text in shown_by(error):
                    assert FRAGMENT not in text, body
            assert FRAGMENT not in str(task._lineage_facts()), body
            wr.clear_faults()
    assert FRAGMENT not in caplog.text


def test_content_types(whiterabbit_emulator: Emulator) -> None:
    """The type of an answer that is not JSON shows no part of a secret."""
    for before in range(0, 60, 7):
        headers = {"content-type": f"text/{'y' * before}{SECRET}"}
        whiterabbit_emulator.fault(effects.Answer(200, "<html>", headers=headers), kind="submit")
        with pytest.raises(exc.WhiteRabbitError) as refused:
            WhiteRabbitHook().execute_component("PAY")
        for text in shown_by(refused.value):
            assert FRAGMENT not in text


NUMBER = 918273645546372819


@pytest.mark.parametrize("before", [0, 1560, 1575, 1590])
def test_numbers(whiterabbit_emulator: Emulator, before: int) -> None:
    """A secret that White Rabbit repeats as a number is hidden too, also where the error is cut."""
    mask_secret(str(NUMBER))
    error = {"text": "y" * before, "pin": NUMBER, "other": 7, "is": True}
    assert str(NUMBER)[:8] not in failure_of(record_of(error))
    assert before or '"other": 7, "is": true' in failure_of(record_of(error))
    for body in ({"code": NUMBER, "message": {"pin": NUMBER}}, {"errors": [{"code": "BAD", "message": [NUMBER]}]}):
        whiterabbit_emulator.fault(effects.Answer(400, body), kind="submit")
        with pytest.raises(exc.WhiteRabbitError) as refused:
            WhiteRabbitHook().execute_component("PAY")
        assert str(NUMBER) not in str(refused.value)


def test_json_in_texts() -> None:
    """A secret with quotes is found where JSON in a text escapes it; other backslashes stay."""
    mask_secret('p\\ass"wörd\n2')
    for text in (json.dumps({"rpc": SECRET}), json.dumps({"a": 'p\\ass"wörd\n2'}), json.dumps('p\\ass"wörd\n2')):
        found = failure_of(record_of({"message": f"POST {text}"}))
        assert FRAGMENT not in found
        assert "wörd" not in found
        assert "\\u00f6" not in found
        assert "***" in found
    assert failure_of(record_of({"message": "C:\\new\\u12"})).endswith("C:\\new\\u12")


@needs_sdk  # Airflow 2 escapes what it stores
def test_names_of_members(whiterabbit_emulator: Emulator) -> None:
    """The place of a character that Airflow can't store names members of the output, without secrets."""
    with pytest.raises(exc.WhiteRabbitOutputError) as refused:
        check_storable({SECRET: "\ud83d"}, EXECUTION, "e-1")
    assert FRAGMENT not in str(refused.value)


def test_outputs_stay(whiterabbit_emulator: Emulator) -> None:
    """An output that repeats a secret is returned as it is: only errors are changed."""
    mask_secret(str(NUMBER))
    output = {"rpc": SECRET, "error": {"message": SECRET, "n": NUMBER}, "message": [SECRET]}
    whiterabbit_emulator.script("PAY", output=output)
    task = WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", inline_wait=5)
    assert FakeAirflow().run(task) == output
