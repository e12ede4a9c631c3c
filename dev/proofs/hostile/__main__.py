"""Run all misbehaviours, print the tables and write them into docs/reliability.md; exit with 1 on a surprise.

With arguments, run only the cases whose table and name hold one of them, and write nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from dev.proofs.hostile.case import Case
from dev.proofs.hostile.cases import GROUPS
from dev.proofs.hostile.runner import Cell, run_cases
from dev.proofs.hostile.table import print_row, rows, summary, write_page


def main(wanted: list[str]) -> int:
    """Run the cases from the command line; return the exit status."""
    start = time.monotonic()
    cells: list[Cell] = []
    last_group = ""
    for group, row in rows(_kept(run_cases(_selected(wanted)), cells)):
        print_row(group, row, is_first=group != last_group)
        last_group = group
    print(f"\n{summary(cells)}; {time.monotonic() - start:.0f} s")
    unexpected = [cell for cell in cells if cell.unexpected]
    for cell in unexpected:
        place = f"{cell.place} of {'an execution' if cell.target == 'execution' else 'a run'}, {cell.way}"
        print(f"{cell.case.name} ({cell.case.clause}); {place}: {cell.unexpected}", file=sys.stderr)
    if not wanted:
        write_page(cells)
    return 1 if unexpected else 0


def _selected(wanted: list[str]) -> list[Case]:
    found = [(f"{group}: {case.name}", case) for group, cases in GROUPS.items() for case in cases]
    return [case for name, case in found if not wanted or any(text in name for text in wanted)]


def _kept(found: Iterator[Cell], cells: list[Cell]) -> Iterator[Cell]:
    """Yield the cells, and keep them in a list."""
    for cell in found:
        cells.append(cell)
        yield cell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
