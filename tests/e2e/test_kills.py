"""A component is submitted at most once, whichever process dies; `make kills` prints the same cases as a table."""

from __future__ import annotations

import pytest

from dev.proofs.kills.cases import CASES
from dev.proofs.kills.runner import Row, run_cases

pytestmark = [pytest.mark.e2e, pytest.mark.kills]

EXPECTED = {name: expected for case in CASES for name, expected in case.rows}


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    """Run all cases once and return the rows of the table by their names."""
    return {row.name: row for row in run_cases()}


@pytest.mark.parametrize("name", EXPECTED)
def test_case_ends_as_specified(rows: dict[str, Row], name: str) -> None:
    """The tries, the submissions and the end of a case are as specified."""
    assert rows[name].actual == EXPECTED[name], rows[name].unexpected
    assert not rows[name].unexpected


def test_names_are_unique() -> None:
    """No two rows of the table have the same name."""
    assert len(EXPECTED) == sum(1 for case in CASES for _ in case.rows)
