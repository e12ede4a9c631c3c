"""The matrix of faults itself: `make faults` fills it, these tests show that it can tell right from wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_whiterabbit.emulator.effects import Answer, Duplicate, Reset
from dev.proofs.faults import WAYS, play
from dev.proofs.faults.cases import CASES, FIRST, RECORD, STREAM, Case
from tests.versions import needs_store

pytestmark = needs_store

LOST = Case(FIRST, "an answer lost", (Reset("answer"),), 1, operators="uncertain")


def test_as_expected() -> None:
    """A case whose expectations are right is no surprise, whichever way the task waits."""
    from dev.proofs.faults.__main__ import markdown  # needs structlog, which came with Airflow 3

    cells = list(play([LOST, Case(STREAM, "all twice", (Duplicate(),), None)]))
    assert [cell.surprise for cell in cells] == [""] * 8
    assert [cell.way for cell in cells[:4]] == list(WAYS)
    assert "| an answer lost | output | output | uncertain | uncertain |" in markdown(cells, "")


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (replace(LOST, operators="output"), "output expected, not uncertain"),
        (replace(LOST, operators="error"), "error expected, not uncertain"),
        (Case(RECORD, "unreadable", (Answer(404),), operators="output"), "output expected, not error"),
    ],
)
def test_surprise(case: Case, why: str) -> None:
    """A case whose expectation is wrong is a surprise, with what came instead."""
    (cell,) = play([case], ["operator, worker"])
    assert why in cell.surprise


def test_fault_that_never_happens() -> None:
    """A case whose fault is never met shows nothing, and says so."""
    (cell,) = play([Case(FIRST, "in a stream that is never opened", (Duplicate(),), 1, timeout=1)], ["sensor, poke"])
    assert "the fault never happened" in cell.surprise


def test_names() -> None:
    """There are at least thirty faults, and the table can tell them apart."""
    names = [(case.about, case.name) for case in CASES]
    assert len(names) == len(set(names)) >= 30
