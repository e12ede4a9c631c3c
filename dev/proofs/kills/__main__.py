"""Run the kills on a real Airflow and print the table; exit with status 1 if a row is not as specified."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import get_args

from dev.proofs.kills.case import Case, Killed, Row
from dev.proofs.kills.cases import CASES, KILLS, POINTS
from dev.proofs.kills.runner import run_cases

LAYOUT = "{:<66}  {:<11}  {:>5}  {:<12}  {:<32}  {}"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table: the kills sorted by their points, then the other cases."""
    by_name = {row.name: row for row in rows}
    yield LAYOUT.format("what happens", "killed", "tries", "submitted", "returned", "").rstrip()
    for case in [*sorted(KILLS, key=_order), *(case for case in CASES if case not in KILLS)]:
        heading = [case.title, case.killed]
        for spec in case.rows:
            if spec.label:
                if spec is case.rows[0]:
                    yield f"{case.title} ({case.killed} killed)"
                heading = [f"  {spec.label}", ""]
            row = by_name[case.name(spec)]
            actual = [row.actual.tries, row.actual.submitted, row.actual.returned] if row.actual else ["?"] * 3
            yield LAYOUT.format(*heading, *actual, "unexpected" if row.unexpected else "ok")


def _order(case: Case) -> tuple[int, ...]:
    return list(POINTS).index(case.point), get_args(Killed).index(case.killed), len(case.title)  # type: ignore[arg-type]


def summary(rows: Sequence[Row]) -> str:
    """Return the two numbers that must be zero, as a sentence."""
    foreign, unasked = sum(row.is_foreign for row in rows), sum(row.unasked for row in rows)
    return f"{foreign} tasks take an execution of another request, {unasked} submissions nobody asked for"


def main() -> int:
    """Run the kills from the command line; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    start = time.monotonic()
    print(f"{len(CASES)} cases run on a real Airflow; what happens to each is in the first column", flush=True)
    rows = run_cases()
    print(*table(rows), sep="\n")
    unexpected = [row for row in rows if row.unexpected]
    print(
        "tries, submitted: counted over all tries of the task; submitted: whom each submission pays.\n"
        "supervisor: the task's process survives, stays stopped until the retry has ended, and then continues.\n"
        'resubmit: with on_doubt="resubmit" and on_failed_execution="resubmit".\n'
        'A row with an indent goes on with the task above: "a user answers" means the command that the error message\n'
        "names, airflow whiterabbit doubts."
    )
    print(
        f"{len(rows)} rows, {len(rows) - len(unexpected)} as specified, {len(unexpected)} unexpected; "
        f"{time.monotonic() - start:.0f} s\n{summary(rows)}"
    )
    for row in unexpected:
        print(f"\n{row.name}:\n{row.unexpected}", file=sys.stderr)
    return 1 if unexpected or any(row.is_foreign or row.unasked for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
