"""Run a bad day and print the table; exit with status 1 if a row is not as specified."""

from __future__ import annotations

import signal
import sys
import time

from dev.proofs.bad_day.cases import CASES
from dev.proofs.bad_day.outcome import Row
from dev.proofs.bad_day.runner import SIZES, run_cases

LAYOUT = "{:<62}  {:>5}  {:>5}  {:>5}  {:>8}  {:>7}  {:>4}  {:>5}  {:>9}  {}"
HEADINGS = ("waits", "ended", "kills", "restarts", "retried", "lost", "twice", "recovered")


def line(row: Row) -> str:
    """Return a line of the table."""
    counts = (row.waits, row.ended, row.kills, row.restarts, row.retried, row.lost, row.twice)
    return LAYOUT.format(row.case.title, *counts, f"{row.recovery:.1f} s", "unexpected" if row.unexpected else "ok")


def main() -> int:
    """Run a bad day from the command line; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    start = time.monotonic()
    waits = len(CASES) * sum(SIZES.values())
    print(f"Starting {waits} waits on a real Airflow with PostgreSQL and two triggerers", flush=True)
    print(LAYOUT.format("what fails", *HEADINGS, ""), flush=True)
    rows = run_cases(on_row=lambda row: print(line(row), flush=True))
    unexpected = [row for row in rows if row.unexpected]
    print(
        "waits: in flight when the failure begins. ended: waits that end before, during and after the failure, a third "
        "each.\nkills: killed processes. restarts: components that exited by themselves and were started again. "
        "retried: tasks that\nneeded a second try. lost: tasks that did not end as specified. twice: submissions "
        "beyond one for each operator.\nrecovered: time from the end of the failure to the end of the last wait."
    )
    print(f"{len(rows)} cases, {len(unexpected)} unexpected; {time.monotonic() - start:.0f} s")
    for row in unexpected:
        print(f"\n{row.case.title}:\n{row.unexpected}", file=sys.stderr)
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
