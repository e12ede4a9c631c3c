"""A person who settles the doubts about inputs of one task can't give two of them one execution."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.operators.submission import addressed, answer_key
from dev.harness.standins import FakeAirflow
from tests.operators.test_components import paid, pay, payees_in, records, wr
from tests.versions import needs_store

__all__ = ["wr"]  # a fixture

PAYEES = ("alice", "bob", "carol")


def answer(airflow: FakeAirflow, index: int, choice: str, target_id: str | None = None) -> None:
    """Store the answer of a person about an input, as the command does."""
    key = f"inputs[{index}]"
    given = {"choice": choice, "by": "ann", "at": "2026-11-24", "id": target_id}
    airflow.store.values[answer_key(key)] = addressed(records(airflow)[key], given)


def edit(airflow: FakeAirflow, index: int, target_id: Any) -> None:
    """Change the id in the record of an input, as a person can in Airflow's UI."""
    for page in airflow.store.values.values():
        if f"inputs[{index}]" in page:
            page[f"inputs[{index}]"] |= {"id": target_id}


def lose(airflow: FakeAirflow, wr: Emulator, *, index: int, arrives: bool) -> None:
    """Run the first try of the task, which loses the answer about an input, and submits those before it."""
    wr.fault(effects.Reset("answer" if arrives else "request"), kind="submit", skip=index)
    with pytest.raises(AirflowFailException, match=rf"doubt about inputs\[{index}\]"):
        airflow.run(pay(*PAYEES, at_once=1))


def id_of(airflow: FakeAirflow, index: int) -> str:
    """Return the id in the record of an input."""
    return str(records(airflow)[f"inputs[{index}]"]["id"])


@needs_store
@pytest.mark.parametrize("at_once", [1, 20])
@pytest.mark.parametrize("is_edited", [False, True], ids=["answered", "edited"])
def test_id_of_another_input(airflow: FakeAirflow, wr: Emulator, is_edited: bool, at_once: int) -> None:
    """The id of another input's execution is refused, and the task submits nothing, in later tries too."""
    lose(airflow, wr, index=1, arrives=False)
    before, other = paid(wr), id_of(airflow, 0)
    if is_edited:
        edit(airflow, 1, other)
    else:
        answer(airflow, 1, "there", other)
    said = "The execution" if is_edited else "The answer .* can't be right: it"
    with pytest.raises(AirflowFailException, match=rf"Key 'inputs\[1\]': {said}.* is the one of the key 'inputs\[0\]'"):
        airflow.run(pay(*PAYEES, at_once=at_once), 2)
    for number in (3, 4):
        with pytest.raises(AirflowFailException, match=r"doubt about inputs\[1\], so"):
            airflow.run(pay(*PAYEES, at_once=at_once), number)
    assert paid(wr) == before
    answer(airflow, 1, "submit")
    assert payees_in(airflow.run(pay(*PAYEES), 5)) == list(PAYEES)
    assert sorted(execution["output"]["paid"] for execution in wr.executions) == list(PAYEES)


@needs_store
def test_id_of_a_later_input(airflow: FakeAirflow, wr: Emulator) -> None:
    """The input that a person has answered for is refused, also if it stands before the one that has the execution."""
    airflow.run(pay(*PAYEES, at_once=1))
    edit(airflow, 0, id_of(airflow, 2))
    for number in (2, 3):
        with pytest.raises(AirflowFailException, match=r"doubt about inputs\[0\], so.*'inputs\[0\]'.*'inputs\[2\]'"):
            airflow.run(pay(*PAYEES, at_once=1), number)
    answer(airflow, 0, "there", wr.executions[0]["id"])
    assert payees_in(airflow.run(pay(*PAYEES), 4)) == list(PAYEES)
    assert paid(wr) == list(PAYEES)


@needs_store
def test_one_answer_for_two_inputs(airflow: FakeAirflow, wr: Emulator) -> None:
    """Of two answers with one id, only one counts."""
    airflow.run(pay(*PAYEES, at_once=1))
    known = id_of(airflow, 0)
    for index in (0, 1):
        edit(airflow, index, None)
        answer(airflow, index, "there", known)
    with pytest.raises(AirflowFailException, match=r"doubt about inputs\[1\], so.*the one of the key 'inputs\[0\]'"):
        airflow.run(pay(*PAYEES, at_once=1), 2)
    assert paid(wr) == list(PAYEES)


@needs_store
def test_own_id(airflow: FakeAirflow, wr: Emulator) -> None:
    """The id of the input's own execution settles the doubt."""
    lose(airflow, wr, index=1, arrives=True)
    answer(airflow, 1, "there", wr.executions[1]["id"])
    for number in (2, 3):
        assert payees_in(airflow.run(pay(*PAYEES), number)) == list(PAYEES)
    assert paid(wr) == list(PAYEES)
