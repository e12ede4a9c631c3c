"""A task whose DAG is edited between two tries submits nothing that it may have submitted in another way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from airflow_provider_whiterabbit.compat import AirflowFailException, get_current_context
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitInputError
from airflow_provider_whiterabbit.hooks.once import Once
from tests.hooks.tries import Killed, Task, most_often, paid
from tests.operators.ways import Code, by_code, by_many, by_one, many, one, together
from tests.versions import needs_store

pytestmark = needs_store


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    """Return the emulator with a component that pays."""
    whiterabbit_emulator.script("PAY", output=lambda inputs, _: {"paid": inputs["to"]})
    return whiterabbit_emulator


WAYS = {
    "one": (by_one, r"component PAY at .* as \S+"),
    "many": (by_many, "2 inputs"),
    "code": (by_code, "the keys 'alice', 'bob'"),
}

REFUSAL = r"^An earlier run of this task has submitted {}, and this run has not asked for that before it submits "


@pytest.mark.parametrize("before", WAYS)
@pytest.mark.parametrize("now", WAYS)
@pytest.mark.parametrize("cleared", [False, True], ids=["retry", "clear"])
def test_another_way(wr: Emulator, before: str, now: str, cleared: bool) -> None:
    """Nothing is submitted in a way in which the task has not submitted, and the error names what it has submitted."""
    if before == now:
        return
    task, (way, submitted) = Task(), WAYS[before]
    task.run(way("alice", "bob"))
    sent = paid(wr)
    if cleared:
        task.clear()
    for _ in range(2):
        with pytest.raises(AirflowFailException, match=REFUSAL.format(submitted)):
            task.run(WAYS[now][0]("alice", "bob"))
    assert paid(wr) == sent


def test_resubmit(wr: Emulator) -> None:
    """A task that may submit twice submits in each way."""
    task = Task()
    task.run(by_one("alice"))
    task.run(by_code("alice"), on_doubt="resubmit")
    task = Task(run_id="another")
    task.run(by_code("alice"))
    task.run(by_many("alice", on_doubt="resubmit"))
    task = Task(run_id="a third")
    task.run(by_many("alice"))
    task.run(by_one("alice", on_doubt="resubmit"))
    assert paid(wr) == ["alice"] * 6


PARTIAL_EDITS: dict[str, tuple[Code, Code, str]] = {
    "another key, then many": (
        by_code("alice", "bob"),
        together(by_code("quote"), by_many("alice", "bob")),
        "the keys 'alice', 'bob'",
    ),
    "another operator, then keys": (
        by_many("alice", "bob"),
        together(by_one("quote"), by_code("alice", "bob")),
        "2 inputs",
    ),
    "one of both moved to a key": (
        together(by_code("bob"), by_one("alice")),
        by_code("bob", "alice"),
        r"component PAY at .* as \S+",
    ),
    "a key moved to the inputs": (
        together(by_many("alice"), by_code("bob")),
        by_many("alice", "bob"),
        "the keys 'bob'",
    ),
}


@pytest.mark.parametrize("edit", PARTIAL_EDITS)
def test_partial_edit(wr: Emulator, edit: str) -> None:
    """Nothing is paid again either if the edited code still has a part of what it had before."""
    before, after, submitted = PARTIAL_EDITS[edit]
    task = Task()
    task.run(before)
    with pytest.raises(AirflowFailException, match=REFUSAL.format(submitted)):
        task.run(after)
    assert most_often(paid(wr)) == 1


@pytest.mark.parametrize("case", ["reschedule", "deferral", "raised"])
def test_edit_within_a_try(wr: Emulator, case: str) -> None:
    """The code may also be edited between two runs of one try: between two pokes, or while the task is deferred."""
    task = Task()
    task.run(by_code("alice"))
    if case == "reschedule":
        task.attributes = {"reschedule": True}
    else:
        name, value = ("next_method", "resume") if case == "deferral" else ("task_reschedule_count", 1)
        task.ti_attributes = {"_ti_context_from_server": SimpleNamespace(**{name: value})}
    for code in (by_one("alice"), by_many("alice")):
        with pytest.raises(AirflowFailException, match=REFUSAL.format("the keys 'alice'")):
            task.again(code)
    task.again(by_code("alice", "bob"))
    assert paid(wr) == ["alice", "bob"]


def test_answer_after_an_edit(wr: Emulator) -> None:
    """An operator of many inputs that is resumed with the answer for an operator of one submits nothing."""
    wr.fault(effects.Reset("answer"), kind="submit")
    task = Task()
    with pytest.raises(AirflowFailException, match="It is not known"):
        task.run(by_one("alice"))
    answer = {"chosen_options": ["It is there"], "params_input": {"execution_id": wr.executions[0]["id"]}}
    task.ti_attributes = {"_ti_context_from_server": SimpleNamespace(next_method="execute_answered")}
    with pytest.raises(AirflowFailException, match=REFUSAL.format("component PAY at .* as an unknown execution")):
        task.again(lambda _: many("alice").execute_answered(get_current_context(), answer))
    assert paid(wr) == ["alice"]


@pytest.mark.parametrize("operator", [by_one, by_many])
def test_edit_of_a_rescheduled_task(wr: Emulator, operator: Callable[..., Code]) -> None:
    """Code that was rescheduled may have been edited to an operator, which Airflow then executes itself."""
    task = Task(ti_attributes={"_ti_context_from_server": SimpleNamespace(task_reschedule_count=1)})
    task.run(by_code("alice"))
    edited = (one if operator is by_one else many)("alice")
    with pytest.raises(AirflowFailException, match=REFUSAL.format("the keys 'alice'")):
        task.again(lambda _: edited.execute({**get_current_context(), "task": edited}))
    assert paid(wr) == ["alice"]


def test_caught_doubt(wr: Emulator) -> None:
    """An operator that has found another request, an error that the code catches, has not asked for that request."""

    def quote(_: Once) -> None:
        with pytest.raises(AirflowFailException, match="This task submitted another request before"):
            by_one("quote")(_)

    task = Task()
    task.run(by_one("alice"))
    with pytest.raises(AirflowFailException, match=REFUSAL.format(r"component PAY at .* as \S+")):
        task.run(together(quote, by_code("alice")))
    assert paid(wr) == ["alice"]


def test_cleared_operator_with_another_input(wr: Emulator) -> None:
    """After a clear, an operator with another input than before does not submit what is under a key."""
    task = Task()
    task.run(together(by_one("quote"), by_code("alice")))
    task.clear()
    with pytest.raises(AirflowFailException, match=REFUSAL.format("the keys 'alice'")):
        task.run(by_one("alice"))
    assert paid(wr) == ["quote", "alice"]


def test_keys_of_inputs(wr: Emulator) -> None:
    """Code can't use the keys of the operator of many inputs, with which its records would be mistaken."""
    with pytest.raises(WhiteRabbitInputError, match=r"^key: 'inputs\[0\]' is how the operator of many inputs names"):
        Task().run(by_code("inputs[0]"))


def test_interrupted_look(wr: Emulator) -> None:
    """If the look for the record of an operator is interrupted, this try submits nothing more."""

    def code(once: Once) -> None:
        for payee in ("bob", "carol"):
            with contextlib.suppress(Killed, WhiteRabbitError):
                once.execute_component(payee, "PAY", {"to": payee})

    position = None
    for run_id in ("calm", "interrupted"):
        task = Task(run_id=run_id)
        task.run(by_code("alice"))
        task.store.fail_at = position
        task.run(code)
        looks = [number for number, call in enumerate(task.store.calls) if call == "get whiterabbit_submission"]
        position = looks[0]
        assert len(looks) == 1
    assert paid(wr) == ["alice", "bob", "carol", "alice"]


def test_replaced_after_an_unknown_end(wr: Emulator) -> None:
    """What an operator was about to submit when it was killed is not submitted under a key."""
    task = Task()
    task.store.fail_at, task.store.fails_after = 2, True
    with pytest.raises(Killed):
        task.run(by_one("alice"))
    task.store.fail_at = None
    with pytest.raises(AirflowFailException, match=REFUSAL.format("component PAY at .* as an unknown execution")):
        task.run(by_code("alice"))
    assert paid(wr) == []
