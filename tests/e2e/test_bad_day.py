"""No task is lost and no component is submitted twice on a bad day; `make bad-day` prints the same cases as a table."""

from __future__ import annotations

import pytest

from dev.proofs.bad_day.cases import CASES
from dev.proofs.bad_day.outcome import Row
from dev.proofs.bad_day.runner import SIZES, run_cases

pytestmark = [pytest.mark.e2e, pytest.mark.bad_day]


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    """Run all cases once and return the rows of the table by the cases' titles."""
    return {row.case.title: row for row in run_cases()}


@pytest.mark.parametrize("title", [case.title for case in CASES])
def test_every_wait_ends_once_with_its_own_output(rows: dict[str, Row], title: str) -> None:
    """No task is lost or submits twice, and only tasks whose worker was killed need a second try."""
    row = rows[title]
    assert (row.ended, row.lost, row.twice, row.unexpected) == (sum(SIZES.values()), 0, 0, ""), row.unexpected


def test_everything_fails_while_waits_are_in_flight(rows: dict[str, Row]) -> None:
    """All batches are in flight in the first case, and one batch fewer in each later case."""
    waits = [rows[case.title].waits for case in CASES]
    batch = sum(SIZES.values())
    assert waits == [batch * left for left in range(len(CASES), 0, -1)]
