"""Nothing is lost and nothing paid twice on a bad day (see `dev.proofs.bad_day`, which prints the same as a table)."""

from __future__ import annotations

import pytest

from dev.proofs.bad_day import SIZES, play
from dev.proofs.bad_day.cases import CASES

pytestmark = [pytest.mark.e2e, pytest.mark.bad_day]


@pytest.fixture(scope="module")
def rows():
    return {row.case.title: row for row in play()}


@pytest.mark.parametrize("title", [case.title for case in CASES])
def test_every_wait_ends_once_with_its_own_output(rows, title):
    """No task is lost, none is submitted twice, and a second try takes what kills workers."""
    row = rows[title]
    assert (row.ended, row.lost, row.twice, row.why) == (sum(SIZES.values()), 0, 0, ""), row.why


def test_everything_fails_while_waits_are_in_flight(rows):
    """Two hundred at first, a batch less after each case; something is killed or gone in each of them."""
    waits = [rows[case.title].waits for case in CASES]
    batch = sum(SIZES.values())
    assert waits == [batch * left for left in range(len(CASES), 0, -1)]
