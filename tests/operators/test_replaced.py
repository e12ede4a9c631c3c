"""A task whose DAG is edited between two tries submits nothing that it may have submitted in another way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_whiterabbit.compat import AirflowFailException, get_current_context
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.once import Once
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from tests.hooks.tries import Killed, Task, most_often, paid
from tests.versions import needs_store

Code = Callable[[Once], Any]

pytestmark = needs_store


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    """Return the emulator with a component that pays."""
    whiterabbit_emulator.script("PAY", output=lambda inputs, _: {"paid": inputs["to"]})
    return whiterabbit_emulator


def by_one(*payees: str, **options: Any) -> Code:
    """Return code that pays the first payee with an operator of one input."""
    operator = WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", input={"to": payees[0]}, **options)
    return lambda _: operator.execute(get_current_context())


def by_many(*payees: str, **options: Any) -> Code:
    """Return code that pays with an operator of many inputs."""
    inputs = [{"to": payee} for payee in payees]
    operator = WhiteRabbitExecuteComponentsOperator(task_id="pay", module="PAY", inputs=inputs, **options)
    return lambda _: operator.execute(get_current_context())


def by_code(*payees: str) -> Code:
    """Return code that pays under keys."""

    def code(once: Once) -> None:
        for payee in payees:
            once.execute_component(payee, "PAY", {"to": payee})

    return code


WAYS = {
    "one": (by_one, r"component PAY at .* as \S+"),
    "many": (by_many, "2 inputs"),
    "code": (by_code, "what 2 keys stand for"),
}


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
        refusal = rf"^An earlier try of this task was another operator or other code, and has submitted {submitted}\. "
        with pytest.raises(AirflowFailException, match=refusal):
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


@pytest.mark.parametrize("operator", [by_one, by_many])
@pytest.mark.parametrize("keys_first", [False, True])
@pytest.mark.parametrize("calls", range(20))
def test_two_ways_in_one_task(wr: Emulator, operator: Callable[[str], Code], keys_first: bool, calls: int) -> None:
    """The code of a task may execute an operator and submit under keys; a retry goes on wherever a try was killed."""
    parts = [by_code("bob", "carol"), operator("alice")] if keys_first else [operator("alice"), by_code("bob", "carol")]

    def code(once: Once) -> None:
        for part in parts:
            part(once)

    task = Task()
    task.store.fail_at = calls
    with contextlib.suppress(Killed):
        task.run(code)
    task.store.fail_at = None
    in_doubt = False
    try:
        task.run(code)
    except AirflowFailException as doubt:
        in_doubt = "It is not known whether White Rabbit received the submission" in str(doubt)
    assert in_doubt or sorted(paid(wr)) == ["alice", "bob", "carol"]
    assert most_often(paid(wr)) <= 1


def test_replaced_after_an_unknown_end(wr: Emulator) -> None:
    """What an operator was about to submit when it was killed is not submitted under a key."""
    task = Task()
    task.store.fail_at, task.store.fails_after = 2, True
    with pytest.raises(Killed):
        task.run(by_one("alice"))
    task.store.fail_at = None
    with pytest.raises(AirflowFailException, match=r"component PAY at .* as an unknown execution\."):
        task.run(by_code("alice"))
    assert paid(wr) == []
