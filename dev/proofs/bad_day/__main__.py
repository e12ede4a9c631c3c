"""Print the table; the exit status is 1 if anything in it is a surprise."""

from __future__ import annotations

import signal
import sys
import time

from dev.proofs.bad_day import SIZES, play
from dev.proofs.bad_day.cases import CASES
from dev.proofs.bad_day.verdict import Row

LAYOUT = "{:<45}  {:>5}  {:>5}  {:>5}  {:>9}  {:>7}  {:>4}  {:>9}  {:>9}  {}"


def line(row: Row) -> str:
    """Return a line of the table."""
    counts = (row.waits, row.ended, row.kills, row.revived, row.retried, row.lost, row.twice)
    return LAYOUT.format(row.case.title, *counts, f"{row.recovery:.1f} s", "surprise" if row.why else "ok")


def main() -> int:
    """Run it from the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    start = time.monotonic()
    waits = len(CASES) * sum(SIZES.values())
    print(f"{waits} waits on a real Airflow with PostgreSQL and two triggerers, on their way into flight", flush=True)
    heads = ("waits", "ended", "kills", "restarted", "retried", "lost", "submitted", "recovered")
    print(LAYOUT.format("what went wrong", *heads, ""), flush=True)
    rows = play(say=lambda row: print(line(row), flush=True))
    surprises = [row for row in rows if row.why]
    print(
        "waits: in flight meanwhile; ended: a third of them before it, a third during it, a third after it; kills: "
        "processes;\nrestarted: components that had exited by themselves; retried: tasks that a worker died with; "
        "submitted: more\nthan once; recovered: how long after all was well again the last of them had ended."
    )
    print(f"{len(rows)} cases, {len(surprises)} surprises; {time.monotonic() - start:.0f} s")
    for row in surprises:
        print(f"\n{row.case.title}:\n{row.why}", file=sys.stderr)
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
