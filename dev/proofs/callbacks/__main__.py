"""Run the proof and print the tables; exit with status 1 if anything differs from the promise."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dev.proofs.callbacks.outcome import Report
from dev.proofs.callbacks.plan import DATABASE, SCHEDULER, SERVERS
from dev.proofs.callbacks.runner import EXECUTIONS, SECONDS, Options, run_chaos

SHOWN = 20
"""How many problems are printed."""


def table(report: Report) -> Iterator[str]:
    """Yield the lines of the table."""
    restarts = ", ".join(f"{name} {count}" for name, count in sorted(report.restarts.items())) or "none"
    answers = report.answers
    by_status = {key: count for key, count in answers.items() if key.isdecimal()}
    numbers = {
        "DAG files that broke and were mended": report.failed("break"),
        "DAG files that were deleted and came back": report.failed("delete"),
        "DAGs that were paused and unpaused": report.failed("pause"),
        "API servers killed and restarted": report.failed("kill", part=SERVERS[0]),
        "schedulers killed and restarted": report.failed("kill", part=SCHEDULER),
        "stops of the database": report.failed("fast", "immediate", "kill", part=DATABASE),
        "components that exited by themselves": f"{report.restarts.total()} ({restarts})",
        "executions that ended": len(report.submitted),
        "deliveries": sum(by_status.values()) + answers["none"],
        "- repeated at the other API server": report.repeated,
        "- answered with 200": answers["200"],
        "  - emitted": answers["emitted"],
        "  - repeated": answers["repeated"],
        "- answered with 503": answers["503"],
        "  - unheard": report.unheard,
        "- answered with anything else": sum(by_status.values()) - answers["200"] - answers["503"],
        "- not answered": answers["none"],
        "answers that were lost": report.lost,
        "executions answered with 200": report.answered,
        "executions delivered, says White Rabbit": report.delivered,
        "runs before the recovery": report.before.total(),
        "runs that the recovery brought": report.recovered,
        "runs of the recovery": report.recoveries,
        "runs after the recovery": report.after.total(),
    }
    for name, number in numbers.items():
        yield f"{name:<42}  {number:>6}"


def main() -> int:
    """Run the proof from the command line; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--executions", type=int, default=EXECUTIONS)
    parser.add_argument("--keep", type=Path, help="a folder for Airflow's home, which is kept")
    parser.add_argument("--verbose", action="store_true", help="print each failure when it happens")
    arguments = parser.parse_args()
    options = Options(arguments.seed, arguments.seconds, arguments.executions, arguments.keep)
    start = time.monotonic()
    print(
        f"{options.executions} executions end within {options.seconds:g} s on a real Airflow with PostgreSQL and two "
        f"API servers; seed {options.seed}",
        flush=True,
    )
    report = run_chaos(options, (lambda line: print(line, flush=True)) if arguments.verbose else lambda line: None)
    print(*table(report), sep="\n")
    print(f"{len(report.problems)} problems; seed {options.seed}; {time.monotonic() - start:.0f} s")
    for problem in report.problems[:SHOWN]:
        print(f"\n{problem}", file=sys.stderr)
    if report.problems:
        print(f"\n{report.log}", file=sys.stderr)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
