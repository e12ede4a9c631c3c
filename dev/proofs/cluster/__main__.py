"""Run the cases on the cluster and print the table; exit with status 1 if anything differs from the promise."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time

from dev.proofs.cluster.cases import CASES
from dev.proofs.cluster.runner import EXECUTIONS, PATIENCE, Options, Report, run_cases
from dev.proofs.cluster.table import HEADINGS, LAYOUT, LEGEND, line, summary, totals, write_page

SHOWN = 20
"""How many problems are printed."""


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m dev.proofs.cluster", description=__doc__)
    parser.add_argument("--executions", type=int, default=EXECUTIONS, help="executions of all cases (%(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="a number that gives a run its plan")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, metavar="SECONDS", help="without a change, then stuck (%(default)s)"
    )
    parser.add_argument(
        "--only", action="append", choices=[case.name for case in CASES], default=[], help="a case; may be repeated"
    )
    parser.add_argument("--verbose", action="store_true", help="print each step when it happens")
    parser.add_argument("--write", action="store_true", help="write the table into docs/beyond-one-machine.md")
    parsed = parser.parse_args()
    if parsed.executions < len(CASES):
        parser.error(f"each of the {len(CASES)} cases needs an execution")
    if parsed.write and parsed.only:
        parser.error("the page shows all cases")
    return parsed


def print_end(report: Report, options: Options, seconds: float) -> None:
    """Print the end of the table, and what differs from the promise."""
    print(LAYOUT.format("together", *totals(report), ""))
    print(f"{LEGEND}\n{summary(report)}")
    print(f"{len(report.problems)} problems; seed {options.seed}; {seconds:.0f} s")
    for problem in report.problems[:SHOWN]:
        print(f"\n{problem}", file=sys.stderr)
    if report.problems:
        print(f"\n{report.log}", file=sys.stderr)


def main() -> int:
    """Run the proof from the command line; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parsed = arguments()
    options = Options(parsed.seed, parsed.executions, parsed.patience, parsed.only)
    start = time.monotonic()
    cases = f"{len(CASES)} cases" + (f", of which {len(options.only)} run," if options.only else "")
    print(f"{options.executions} executions in {cases} on a cluster with Celery; seed {options.seed}")
    print(LAYOUT.format("what fails", *HEADINGS, ""), flush=True)
    report = run_cases(
        options,
        (lambda text: print(f"  {text}", flush=True)) if parsed.verbose else lambda _text: None,
        lambda case, row: print(line(case, row), flush=True),
    )
    print_end(report, options, time.monotonic() - start)
    if missing := report.missing(options):
        print(f"This run does not prove all: it lacks {', '.join(missing)}")
    if parsed.write and not report.problems and not missing:
        write_page(options, report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
