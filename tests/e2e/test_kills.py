"""At most one submission, whatever dies (see `dev.proofs.kills`, which prints the same cases as a table)."""

from __future__ import annotations

import pytest

from dev.proofs.kills import play
from dev.proofs.kills.cases import CASES

pytestmark = [pytest.mark.e2e, pytest.mark.kills]

EXPECTED = {name: expected for case in CASES for name, expected in case.rows}


@pytest.fixture(scope="module")
def rows():
    return {row.name: row for row in play()}


@pytest.mark.parametrize("name", EXPECTED)
def test_case_ends_as_specified(rows, name):
    """Tries, submissions and end are those of the specification."""
    assert rows[name].got == EXPECTED[name], rows[name].why
    assert not rows[name].why


def test_names_are_unique():
    """No row of the table hides another one."""
    assert len(EXPECTED) == sum(1 for case in CASES for _ in case.rows)
