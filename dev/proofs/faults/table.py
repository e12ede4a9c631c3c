"""The table of faults: its lines on the terminal, and its Markdown in docs/reliability.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from dev.proofs.faults.runner import WAYS, Cell, can_affect

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- written by make faults -->", "<!-- until here -->"

NOTE = "(no stream)"
LAYOUT = "{:<45}" + "  {:<20}" * len(WAYS)


def cell_text(cell: Cell) -> str:
    """Return the text of a cell: the task's verdict, with a note if the fault cannot affect this way of waiting."""
    if cell.unexpected:
        return f"{cell.verdict:.15}: unexpected"
    return cell.verdict if can_affect(cell.case, cell.way) else f"{cell.verdict} {NOTE}"


def rows(cells: Sequence[Cell]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield for each fault: what the fault is about, its name, and the texts of its cells."""
    for case, row in groupby(cells, lambda cell: cell.case):
        yield case.about, case.name, [cell_text(cell) for cell in row]


def print_row(cells: Sequence[Cell]) -> None:
    """Print the row that the last cells have completed, after a heading if a new group of faults begins with it."""
    row_cells = cells[-len(WAYS) :]
    ((about, name, row),) = rows(row_cells)
    if len(cells) == len(WAYS) or cells[-len(WAYS) - 1].case.about != about:
        print(f"\n{LAYOUT.format(about, *WAYS)}")
    print(LAYOUT.format(name, *row), flush=True)


def summary(cells: Sequence[Cell]) -> str:
    """Return the numbers of faults, of cells, and of cells that end as specified."""
    unexpected = sum(bool(cell.unexpected) for cell in cells)
    faults = len(cells) // len(WAYS)
    return f"{faults} faults, {len(cells)} cells: {len(cells) - unexpected} as specified, {unexpected} unexpected"


def markdown(cells: Sequence[Cell]) -> str:
    """Return the summary and a Markdown table for each group of faults."""
    parts = [summary(cells)]
    for about, group in groupby(rows(cells), lambda row: row[0]):
        head = f"| {about} | {' | '.join(WAYS)} |\n| --- |{' --- |' * len(WAYS)}"
        parts.append("\n".join([head, *(f"| {name} | {' | '.join(row)} |" for _, name, row in group)]))
    return "\n\n".join(parts)


def write_page(cells: Sequence[Cell]) -> None:
    """Replace the tables in docs/reliability.md."""
    tables = f"{BEGIN}\n\n{markdown(cells)}\n\n{END}"
    PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: tables, PAGE.read_text(), flags=re.DOTALL))
