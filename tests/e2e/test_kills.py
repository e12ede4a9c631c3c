"""A task submits at most once and takes no other request's execution; `make kills` prints the same cases as a table."""

from __future__ import annotations

import pytest

from dev.proofs.kills.case import Row
from dev.proofs.kills.cases import CASES
from dev.proofs.kills.runner import run_cases

pytestmark = [pytest.mark.e2e, pytest.mark.kills]

EXPECTED = {case.name(spec): spec.expected for case in CASES for spec in case.rows}


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    """Run all cases once and return the rows of the table by their names."""
    return {row.name: row for row in run_cases()}


@pytest.mark.parametrize("name", EXPECTED)
def test_case_ends_as_specified(rows: dict[str, Row], name: str) -> None:
    """The tries, the submissions and what the task returned are as specified."""
    assert rows[name].actual == EXPECTED[name], rows[name].unexpected
    assert not rows[name].unexpected


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_is_submitted_or_taken_unasked(rows: dict[str, Row], name: str) -> None:
    """No task takes an execution of another request, and no task submits more often than it was asked to."""
    assert not rows[name].is_foreign
    assert rows[name].unasked == 0


def test_names_are_unique() -> None:
    """No two rows of the table have the same name."""
    assert len(EXPECTED) == sum(len(case.rows) for case in CASES)
