"""Print the table; the exit status is 1 if anything in it is a surprise."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import get_args

from dev.proofs.kills import play
from dev.proofs.kills.cases import CASES, POINTS, THEN, Case, Killed
from dev.proofs.kills.plays import Row

LAYOUT = "{:<51}  {:<10}  {:>5}  {:>11}  {:<22}  {}"


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table, in the order of the points of death."""
    by_name = {row.name: row for row in rows}
    yield LAYOUT.format("died", "killed", "tries", "submissions", "end", "")
    for case in sorted(CASES, key=_place):
        told = [case.title, case.killed]
        for name, _ in case.rows:
            row = by_name[name]
            got = [row.got.tries, row.got.submissions, row.got.end] if row.got else ["?"] * 3
            yield LAYOUT.format(*told, *got, "surprise" if row.why else "ok")
            told = [f"  {THEN[case.then[0]]}" if case.then else "", ""]


def _place(case: Case) -> tuple[int, ...]:
    return list(POINTS).index(case.point), get_args(Killed).index(case.killed), len(case.dag_id)


def main() -> int:
    """Run it from the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    start = time.monotonic()
    print(f"{len(CASES)} runs of a task on a real Airflow, each on its way to its death", flush=True)
    rows = play()
    print(*lines(rows), sep="\n")
    surprises = [row for row in rows if row.why]
    print(
        "Submissions are those of all tries so far. A task whose supervisor was killed goes on without it; it was held "
        "where\nit was until the retry had ended, and then let go. resubmit: on_uncertain_submission and "
        "on_failed_execution."
    )
    print(
        f"{len(rows)} rows, {len(rows) - len(surprises)} as specified, {len(surprises)} surprises; "
        f"{time.monotonic() - start:.0f} s"
    )
    for row in surprises:
        print(f"\n{row.name}:\n{row.why}", file=sys.stderr)
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
