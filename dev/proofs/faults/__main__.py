"""Print the table and write it into docs/reliability.md; the exit status is 1 if anything in it is a surprise."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import structlog

from dev.proofs.faults import WAYS, Cell, is_about, play

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- written by make faults -->", "<!-- until here -->"

NOTE = "(no stream)"
LAYOUT = "{:<45}" + "  {:<20}" * len(WAYS)


def shown(cell: Cell) -> str:
    """Return what the table says of a cell."""
    if cell.surprise:
        return f"{cell.verdict:.15}: surprise"
    return cell.verdict if is_about(cell.case, cell.way) else f"{cell.verdict} {NOTE}"


def rows(cells: Sequence[Cell]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield what each fault is about, its name, and its cells."""
    for case, row in groupby(cells, lambda cell: cell.case):
        yield case.about, case.name, [shown(cell) for cell in row]


def markdown(cells: Sequence[Cell], summary: str) -> str:
    """Return the tables as the page shows them."""
    parts = [summary]
    for about, group in groupby(rows(cells), lambda row: row[0]):
        head = f"| {about} | {' | '.join(WAYS)} |\n| --- |{' --- |' * len(WAYS)}"
        parts.append("\n".join([head, *(f"| {name} | {' | '.join(row)} |" for _, name, row in group)]))
    return "\n\n".join(parts)


def main() -> int:
    """Run it from the command line."""
    # Every task tells of every trouble.
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    start = time.monotonic()
    cells = []
    for cell in play():
        cells.append(cell)
        if len(cells) % len(WAYS) == 0:
            ((about, name, row),) = rows(cells[-len(WAYS) :])
            if len(cells) == len(WAYS) or cells[-len(WAYS) - 1].case.about != about:
                print(f"\n{LAYOUT.format(about, *WAYS)}")
            print(LAYOUT.format(name, *row), flush=True)
    surprises = [cell for cell in cells if cell.surprise]
    faults = len(cells) // len(WAYS)
    summary = (
        f"{faults} faults, {len(cells)} cells: {len(cells) - len(surprises)} as specified, {len(surprises)} surprises"
    )
    print(f"\n{summary}; {time.monotonic() - start:.0f} s")
    for cell in surprises:
        print(f"{cell.case.about}, {cell.case.name}; {cell.way}: {cell.surprise}", file=sys.stderr)
    page = PAGE.read_text()
    PAGE.write_text(
        re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{markdown(cells, summary)}\n\n{END}", page, flags=re.DOTALL)
    )
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
