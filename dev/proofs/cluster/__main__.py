"""Run the cases on the cluster and print the table; exit with status 1 if anything differs from the promise."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time

from dev.proofs.cluster.cases import CASES, Case
from dev.proofs.cluster.outcome import Row
from dev.proofs.cluster.runner import EXECUTIONS, PATIENCE, Options, run_cases

LAYOUT = "{:<66}  {:>10}  {:>9}  {:>5}  {:>7}  {:>7}  {:>5}  {:>5}  {:>5}  {}"
HEADINGS = ("executions", "submitted", "ended", "retried", "doubted", "twice", "wrong", "stuck")
SHOWN = 20
"""How many problems are printed."""


def counts(row: Row) -> tuple[int, ...]:
    """Return the numbers of a row, in the order of the headings."""
    return tuple(getattr(row, name) for name in HEADINGS)


def line(case: Case, row: Row) -> str:
    """Return a line of the table."""
    return LAYOUT.format(case.title, *counts(row), "unexpected" if row.problems else "ok")


def options() -> tuple[Options, bool]:
    """Return the options of the command line, and whether each step is printed."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m dev.proofs.cluster", description=__doc__)
    parser.add_argument("--executions", type=int, default=EXECUTIONS, help="executions of all cases (%(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="a number that gives a run its plan")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, metavar="SECONDS", help="without a change, then stuck (%(default)s)"
    )
    parser.add_argument("--only", action="append", choices=names, default=[], help="run this case; may be repeated")
    parser.add_argument("--verbose", action="store_true", help="print each step when it happens")
    parsed = parser.parse_args()
    if parsed.executions < len(CASES):
        parser.error(f"each of the {len(CASES)} cases needs an execution")
    return Options(parsed.seed, parsed.executions, parsed.patience, parsed.only), parsed.verbose


def main() -> int:
    """Run the proof from the command line; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    chosen, is_verbose = options()
    start = time.monotonic()
    print(
        f"{chosen.executions} executions in {len(CASES)} cases on a cluster with Celery; seed {chosen.seed}", flush=True
    )
    print(LAYOUT.format("what fails", *HEADINGS, ""), flush=True)
    report = run_cases(
        chosen,
        (lambda text: print(f"  {text}", flush=True)) if is_verbose else lambda _text: None,
        lambda case, row: print(line(case, row), flush=True),
    )
    totals = [sum(column) for column in zip(*map(counts, report.rows.values()), strict=True)]
    print(LAYOUT.format("together", *totals, ""))
    restarts = ", ".join(f"{name} {count}" for name, count in sorted(report.restarts.items())) or "none"
    print(
        "ended: executions whose result Airflow has. retried: tasks that needed more than one try. doubted: executions "
        "whose task\nended with a doubt, because their submission was in flight when a part failed. twice: submissions "
        "beyond one for each\nexecution. wrong: tasks that failed without a doubt, or have another result. "
        f"stuck: tasks that did not end.\n{report.redelivered} tasks were delivered again by Celery; components that "
        f"exited by themselves and were started again: {restarts}"
    )
    print(f"{len(report.problems)} problems; seed {chosen.seed}; {time.monotonic() - start:.0f} s")
    for problem in report.problems[:SHOWN]:
        print(f"\n{problem}", file=sys.stderr)
    if report.problems:
        print(f"\n{report.log}", file=sys.stderr)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
