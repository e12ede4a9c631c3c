"""Run all faults, print the table and write it into docs/reliability.md; exit with 1 if a cell is not as specified."""

from __future__ import annotations

import logging
import sys
import time

import structlog

from dev.proofs.faults.runner import Cell, run_cases
from dev.proofs.faults.table import print_row, rows, summary, write_page


def main() -> int:
    """Run all faults from the command line; return the exit status."""
    # Every task logs every failure that it survives.
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    start = time.monotonic()
    cells: list[Cell] = []
    for row in rows(run_cases()):
        print_row(row, is_first=not cells or cells[-1].case.about != row[0].case.about)
        cells += row
    print(f"\n{summary(cells)}; {time.monotonic() - start:.0f} s")
    unexpected = [cell for cell in cells if cell.unexpected]
    for cell in unexpected:
        print(f"{cell.case.about}, {cell.case.name}; {cell.way}: {cell.unexpected}", file=sys.stderr)
    write_page(cells)
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
