"""The proof `dev.proofs.faults` distinguishes right ends from wrong ones; `make faults` runs it with all faults."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_whiterabbit.emulator.effects import Answer, Duplicate, Reset
from dev.proofs.faults.cases import CASES, FIRST, RECORD, STREAM, Case
from dev.proofs.faults.runner import HTTP2, WAYS, run_cases
from dev.proofs.faults.table import markdown
from tests.versions import needs_store

pytestmark = needs_store

UNKNOWN = Answer(404, {"code": "NOT_FOUND", "message": "unknown"})
LOST_ANSWER = Case(FIRST, "answer lost", (Reset("answer"),), 1, operators="uncertain")


def test_right_expectations() -> None:
    """A case whose expectations are right has no unexpected cell in any way of waiting."""
    cells = list(run_cases([LOST_ANSWER, Case(STREAM, "all twice", (Duplicate(),), None)]))
    assert [cell.unexpected for cell in cells] == [""] * 9
    assert [cell.way for cell in cells[4:]] == list(WAYS)
    assert HTTP2 not in [cell.way for cell in cells[:4]]
    assert "| answer lost | output | output | uncertain | uncertain |" in markdown(cells)


@pytest.mark.parametrize(
    ("case", "difference"),
    [
        (replace(LOST_ANSWER, operators="output"), "output was expected, not uncertain"),
        (replace(LOST_ANSWER, operators="error"), "error was expected, not uncertain"),
        (
            Case(RECORD, "unreadable", (Answer(404, {"code": "NONE", "message": "none"}),), operators="output"),
            "output was expected, not error",
        ),
    ],
)
def test_wrong_expectation(case: Case, difference: str) -> None:
    """A case whose expectation is wrong has an unexpected cell, which names the expected and the actual verdict."""
    (cell,) = run_cases([case], ["operator, worker"])
    assert difference in cell.unexpected


def test_fault_that_never_happens() -> None:
    """A cell whose fault never happens is unexpected."""
    case = Case(FIRST, "in a stream that is never opened", (Duplicate(),), 1, timeout=1)
    (cell,) = run_cases([case], ["sensor, poke"])
    assert "the fault never happened" in cell.unexpected


def test_names() -> None:
    """There are at least thirty faults, and no two rows of the table have the same name."""
    names = [(case.about, case.name) for case in CASES]
    assert len(names) == len(set(names)) >= 30
