"""The operator of many inputs keeps its promises to hostile inputs, edited lists, busy servers and broken retries."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import DAG, AirflowException, AirflowFailException
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from airflow_provider_whiterabbit.secrets import secret
from dev.harness.airflow_settings import MAJOR
from dev.harness.standins import RETRIES, FakeAirflow
from tests.failing import fails_for_good
from tests.operators.test_components import PAYEES, paid, pay, payees_in, records, wr
from tests.versions import needs_store

__all__ = ["wr"]  # a fixture

CLEARED = 1 + RETRIES + 1
"""Airflow's `max_tries` after a clear that follows the first try."""

REPLACED = r"^An earlier run of this task has submitted {}, and this run has not asked for that before it submits"
"""The refusal of a task that submits in another way than its earlier tries."""


# --- doubts


@needs_store
@pytest.mark.parametrize("at_once", [1, 4])
def test_all_doubts_are_named(airflow: FakeAirflow, wr: Emulator, at_once: int) -> None:
    """A retry names all inputs that are in doubt, not only the first that it looks at, and notes each of them."""
    wr.fault(effects.Reset("answer"), kind="submit", times=5)
    with pytest.raises(AirflowFailException):
        airflow.run(pay(*PAYEES, at_once=5))
    in_doubt = sorted(records(airflow))
    assert len(in_doubt) > 1
    for page in airflow.store.values.values():
        for record in page.values():
            if isinstance(record, dict):  # as a killed try leaves it
                record.pop("doubt")
    with pytest.raises(AirflowFailException) as caught:
        airflow.run(pay(*PAYEES, at_once=at_once), 2)
    assert str(caught.value).startswith(f"There is a doubt about {', '.join(in_doubt)}, so no more was submitted")
    assert [record["doubt"] for record in records(airflow).values()] == ["uncertain"] * len(in_doubt)


@needs_store
def test_doubts_without_end(airflow: FakeAirflow, wr: Emulator) -> None:
    """If a whole list is another one, the search for doubts ends soon."""
    airflow.run(pay(*[f"x{number}" for number in range(120)], wait_for_completion=False))
    with pytest.raises(AirflowFailException, match=r"inputs\[0\].* and \d+ more, so no more"):
        airflow.run(pay(*[f"y{number}" for number in range(120)], at_once=1), 2)
    assert sum("doubt" in record for record in records(airflow).values()) == 100


@needs_store
def test_one_id_for_two_inputs(airflow: FakeAirflow, wr: Emulator) -> None:
    """An answer with the id of another input's execution is no proof that this input was submitted."""
    known = wr.create_execution("PAY", {"to": "alice"})
    wr.fault(effects.Alter({"id": known}), kind="submit", times=2)
    with pytest.raises(
        AirflowFailException, match=rf"There is a doubt about inputs\[1\].*{known}.*inputs\[0\] already"
    ):
        airflow.run(pay("alice", "bob", "carol", at_once=1))
    assert records(airflow)["inputs[1]"]["id"] is None
    assert paid(wr) == ["alice", "bob"]


# --- lists that change between two tries


@needs_store
@pytest.mark.parametrize("options", [{}, {"on_doubt": "resubmit"}, {"on_clear": "resubmit"}], ids=str)
def test_input_is_removed(airflow: FakeAirflow, wr: Emulator, options: dict[str, Any]) -> None:
    """If a list loses the input that was refused, those behind it move, and must not be submitted a second time."""
    airflow.run(pay("alice", "bob", "carol"))
    for page in airflow.store.values.values():
        page.pop("inputs[1]", None)  # as if it had been refused, while the third was under way
    shorter = pay("alice", "carol", **options)
    if "on_doubt" in options:
        airflow.run(shorter, 2)
        assert sorted(paid(wr)) == ["alice", "bob", "carol", "carol"]
        return
    with pytest.raises(
        AirflowFailException,
        match=r"Earlier tries have submitted inputs\[2\], which this list does not have, but not inputs\[1\]: .* So "
        r"nothing was submitted now; 1 of 2 inputs are submitted\. Put the inputs back",
    ):
        airflow.run(shorter, 2)
    assert sorted(paid(wr)) == ["alice", "bob", "carol"]
    assert payees_in(airflow.run(pay("alice", "bella", "carol", **options), 3)) == ["alice", "bella", "carol"]


@needs_store
def test_shorter_after_a_clear(airflow: FakeAirflow, wr: Emulator) -> None:
    """A clear that submits anew may submit a shorter list."""
    airflow.run(pay(*PAYEES, on_clear="resubmit"))
    assert payees_in(airflow.run(pay("erin", on_clear="resubmit"), 2, CLEARED)) == ["erin"]


@needs_store
@pytest.mark.parametrize("options", [{}, {"on_doubt": "resubmit"}], ids=str)
def test_operator_is_replaced(airflow: FakeAirflow, wr: Emulator, options: dict[str, Any]) -> None:
    """What the task has submitted as an operator of one input is not submitted again by one of many."""
    airflow.run(WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", input={"to": "alice"}))
    if options:
        assert payees_in(airflow.run(pay("alice", **options), 2)) == ["alice"]
        return
    with pytest.raises(AirflowFailException, match=REPLACED.format(r"component PAY at .* as \S+")):
        airflow.run(pay("alice"), 2)
    assert paid(wr) == ["alice"]


@needs_store
def test_operator_of_many_is_replaced(airflow: FakeAirflow, wr: Emulator) -> None:
    """The same if an operator of many inputs becomes one of one input."""
    airflow.run(pay("alice", "bob"))
    one = {"task_id": "pay", "module": "PAY", "input": {"to": "alice"}}
    with pytest.raises(AirflowFailException, match=REPLACED.format("2 inputs")):
        airflow.run(WhiteRabbitExecuteComponentOperator(**one), 2)
    assert sorted(paid(wr)) == ["alice", "bob"]
    assert airflow.run(WhiteRabbitExecuteComponentOperator(**one, on_doubt="resubmit"), 3) == {"paid": "alice"}


# --- retries that can't read what was submitted


@needs_store
def test_key_is_refused_in_a_retry(airflow: FakeAirflow, wr: Emulator) -> None:
    """A retry that may not read what was submitted keeps the retries, and does not say that it was not submitted."""
    airflow.run(pay(*PAYEES, wait_for_completion=False))
    wr.fault(effects.Answer(401, {"errors": [{"code": "NO", "message": "bad key"}]}), kind="record", skip=1, times=1)
    with pytest.raises(
        AirflowException, match=r"^inputs\[1\]: .*401.* So it is not known what earlier tries"
    ) as caught:
        airflow.run(pay(*PAYEES, at_once=1), 2)
    assert not isinstance(caught.value, AirflowFailException)
    assert "inputs are submitted" not in str(caught.value)
    assert payees_in(airflow.run(pay(*PAYEES), 3)) == list(PAYEES)
    assert sorted(paid(wr)) == sorted(PAYEES)


@needs_store
@pytest.mark.parametrize("options", [{}, {"callback": True}], ids=str)
def test_connection_breaks_before_a_retry(
    airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """A retry with a broken connection keeps the retries, because executions run that a later one can take."""
    airflow.run(pay(*PAYEES, wait_for_completion=False))
    broken = {"conn_type": "whiterabbit", "host": wr.url, "password": "x"}
    with monkeypatch.context() as patched:
        patched.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(broken))
        with pytest.raises((AirflowException, exc.WhiteRabbitConfigError)) as caught:
            airflow.run(pay(*PAYEES, **options), 2)
    assert not isinstance(caught.value, AirflowFailException)
    assert payees_in(airflow.run(pay(*PAYEES), 3)) == list(PAYEES)


# --- a busy server


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Return an emulator of its own, because all tasks of this process heed the pause for which a host asks."""
    with Emulator() as own:
        own.component("PAY")
        own.script("PAY", output=lambda inputs, _: {"paid": inputs["to"]})
        for name, value in own.environ.items():
            monkeypatch.setenv(name, value)
        yield own


def ask_for_patience(wr: Emulator, **where: Any) -> None:
    """Let White Rabbit answer 429 to submissions, and ask for a pause that is longer than these tests wait."""
    body = {"errors": [{"code": "BUSY", "message": "later"}]}
    wr.fault(effects.Answer(429, body, headers={"Retry-After": "20"}), kind="submit", **where)


@needs_store
def test_deadline_while_white_rabbit_is_busy(airflow: FakeAirflow, busy: Emulator) -> None:
    """While an input waits because White Rabbit is busy, the deadline ends the task, and nothing is sent after it."""
    ask_for_patience(busy, skip=1)
    with pytest.raises(exc.WhiteRabbitTimeoutError, match="The time is up, and only 1 of 3 inputs are submitted"):
        airflow.run(pay("alice", "bob", "carol", timeout=12, at_once=1))
    assert paid(busy) == ["alice", "bob"]
    assert list(records(airflow)) == ["inputs[0]"]


def test_kill_while_white_rabbit_is_busy(airflow: FakeAirflow, busy: Emulator) -> None:
    """A task that is killed while an input waits because White Rabbit is busy ends at once, and sends nothing more."""
    ask_for_patience(busy)
    task = pay("alice", "bob", at_once=1)

    def kill() -> None:
        busy.wait_for_request(kind="submit", timeout=60)
        task.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(AirflowException, match="The task was stopped: 0 of 2 inputs are submitted"):
        airflow.run(task)
    killer.join()
    assert paid(busy) == ["alice"]


@needs_store
def test_never_sent(airflow: FakeAirflow, wr: Emulator, read_log: Callable[[], str]) -> None:
    """A submission that was never sent, because White Rabbit could not be reached, is tried as often as other calls."""
    wr.pause()
    with pytest.raises(AirflowException, match=r"inputs\[0\].*So no more was submitted; 0 of 1") as caught:
        airflow.run(pay("alice"))
    assert not isinstance(caught.value, AirflowFailException)
    assert "too many requests" not in read_log()
    wr.resume()
    assert payees_in(airflow.run(pay("alice"), 2)) == ["alice"]


# --- inputs


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            [{"to": "alice"}, None],
            r"inputs\[1\] must be an object \(a dict\), got None. An input without values is \{\}",
        ),
        ('[{"to": "alice"}, null]', r"inputs\[1\] must be an object \(a dict\), got None"),
        (['{"to": "alice"}'], r"inputs\[0\] must be an object \(a dict\), got a text. Give an object with templates"),
        ('[{"to": "alice", "to": "mallory"}]', "the name 'to' appears twice in an object"),
        (f'[{{"to": {"9" * 5000}}}]', "inputs, when rendered, is not valid"),
        ('[{"to": NaN}]', r"inputs\[0\]\.to"),
        ('[{"to": "\\ud800"}]', r"inputs\[0\]\.to: a lone surrogate"),
        ([{"to": "a"}] * 10_001, "more than 10,000 objects"),
        ({"alice", "bob"}, "inputs must be a list of objects .* got set"),
    ],
    ids=range(9),
)
def test_refused_inputs(airflow: FakeAirflow, wr: Emulator, inputs: Any, message: str) -> None:
    """What can't be meant, or sent unchanged, is refused with its place and the remedy, and nothing is sent."""
    task = pay(inputs="{{ x }}")
    task.inputs = inputs
    with fails_for_good(exc.WhiteRabbitInputError, message):
        airflow.run(task)
    if not isinstance(inputs, str):
        with pytest.raises(exc.WhiteRabbitInputError, match=message):
            pay(inputs=inputs)
    assert not wr.journal


def test_item_that_renders_to_none(airflow: FakeAirflow, wr: Emulator) -> None:
    """An input whose template renders to None is not submitted without values."""
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        task = pay(inputs=["{{ params.row }}", "{{ params.missing }}"])
    task.render_template_fields({"params": {"row": {"to": "alice"}, "missing": None}})
    with fails_for_good(exc.WhiteRabbitInputError, r"inputs\[1\] must be an object \(a dict\), got None"):
        airflow.run(task)
    assert not wr.journal


def test_secret_that_is_no_text(airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that can't be sent is named, before the inputs that stand before it are submitted."""
    monkeypatch.setenv("AIRFLOW_VAR_RPC_KEY", os.fsdecode(b"Kj7dYw2mZq\xff91XvbT"))
    with DAG("secrets", schedule=None):
        task = pay(inputs=[{"to": "alice"}, {"to": str(secret(variable="rpc_key"))}])
    task.render_template_fields({})
    error, reason = exc.WhiteRabbitConfigError, "which is not valid Unicode text"
    if MAJOR == 2:  # Airflow itself fails when it reads such a variable
        error, reason = exc.WhiteRabbitSecretError, r"which could not be read \(UnicodeEncodeError\)"
    with fails_for_good(error, rf"inputs\[1\]\.to names the variable 'rpc_key', {reason}"):
        airflow.run(task)
    assert not wr.journal


def test_iterators(airflow: FakeAirflow, wr: Emulator) -> None:
    """An operator reads an iterator once for all; several mapped tasks can't, and would have no inputs."""
    assert payees_in(airflow.run(pay(inputs=iter([{"to": "alice"}])))) == ["alice"]
    with DAG("mapped", schedule=None):
        mapped = WhiteRabbitExecuteComponentsOperator.partial(
            task_id="mapped", module="PAY", inputs=iter([{"to": "bob"}, 5])
        ).expand(config=[{}, {}])
    for _ in range(2):
        with pytest.raises(exc.WhiteRabbitInputError, match="list_iterator, which only one of the mapped tasks could"):
            mapped.unmap({"config": {}})


def test_end_from_trigger() -> None:
    """The argument that other operators have is refused with a reason; it may stand in `default_args`."""
    with pytest.raises(exc.WhiteRabbitInputError, match="end_from_trigger can't be set here"):
        pay("alice", end_from_trigger=True)
    with DAG("defaults", schedule=None, default_args={"end_from_trigger": True}):
        assert not pay("alice").ends_in_triggerer
