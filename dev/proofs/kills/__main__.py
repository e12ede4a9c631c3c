"""Run the kills on a real Airflow and print the table; exit with status 1 if a row is not as specified."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import get_args

from dev.proofs.kills.cases import CASES, POINTS, REMEDIES, Case, Killed
from dev.proofs.kills.runner import Row, run_cases

LAYOUT = "{:<54}  {:<10}  {:>5}  {:>11}  {:<22}  {}"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table, sorted by the points of the kills."""
    by_name = {row.name: row for row in rows}
    yield LAYOUT.format("point of the kill", "killed", "tries", "submissions", "end", "")
    for case in sorted(CASES, key=_order):
        heading = [case.title, case.killed]
        for name, _ in case.rows:
            row = by_name[name]
            actual = [row.actual.tries, row.actual.submissions, row.actual.end] if row.actual else ["?"] * 3
            yield LAYOUT.format(*heading, *actual, "unexpected" if row.unexpected else "ok")
            heading = [f"  {REMEDIES[case.remedy[0]]}" if case.remedy else "", ""]


def _order(case: Case) -> tuple[int, ...]:
    return list(POINTS).index(case.point), get_args(Killed).index(case.killed), len(case.dag_id)


def main() -> int:
    """Run the kills from the command line; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    start = time.monotonic()
    print(f"{len(CASES)} tasks run on a real Airflow; each is killed at another point", flush=True)
    rows = run_cases()
    print(*table(rows), sep="\n")
    unexpected = [row for row in rows if row.unexpected]
    print(
        "tries, submissions: counted over all tries of the task.\n"
        "supervisor: the task's process survives, stays stopped until the retry has ended, and then continues.\n"
        'resubmit: with on_uncertain_submission="resubmit" and on_failed_execution="resubmit".'
    )
    print(
        f"{len(rows)} rows, {len(rows) - len(unexpected)} as specified, {len(unexpected)} unexpected; "
        f"{time.monotonic() - start:.0f} s"
    )
    for row in unexpected:
        print(f"\n{row.name}:\n{row.unexpected}", file=sys.stderr)
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
