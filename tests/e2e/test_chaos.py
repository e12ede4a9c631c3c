"""What the receiver answers with 200 has its runs, and the recovery brings the others; `make chaos` runs it longer."""

from __future__ import annotations

import pytest

from dev.proofs.callbacks.outcome import Report
from dev.proofs.callbacks.plan import DATABASE, FAILING
from dev.proofs.callbacks.runner import Options, run_chaos
from tests.versions import needs_receiver, needs_run_each

pytestmark = [pytest.mark.e2e, pytest.mark.bad_day, needs_receiver, needs_run_each]

EXECUTIONS = 200


@pytest.fixture(scope="module")
def report() -> Report:
    """Let everything fail for a minute."""
    return run_chaos(Options(seed=20261127, seconds=60, executions=EXECUTIONS))


def test_each_execution_has_its_runs(report: Report) -> None:
    """No run is missing after an answer of 200, none is there twice, and the recovery brings all others."""
    assert report.problems == [], report.log


def test_everything_fails(report: Report) -> None:
    """Each part has failed, callbacks were accepted and refused meanwhile, and the recovery had work to do."""
    assert {part for part, _ in report.failures} == set(FAILING)
    assert report.failed("fast", "immediate", "kill", part=DATABASE)
    assert len(report.submitted) == EXECUTIONS
    assert 0 < report.answered < EXECUTIONS
    assert report.answers["503"]
    assert report.recovered
