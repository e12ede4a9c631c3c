"""The table of faults: its lines on the terminal, and its Markdown in docs/reliability.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from dev.proofs.faults.runner import WAYS, Cell, can_affect
from dev.proofs.page import replace_tables

BEGIN, END = "<!-- written by make faults -->", "<!-- until here -->"

NOTE = "(no stream)"
LAYOUT = "{:<45}" + "  {:<20}" * len(WAYS)


def cell_text(cell: Cell) -> str:
    """Return the text of a cell: the task's verdict, with a note if the fault cannot affect this way of waiting."""
    if cell.unexpected:
        return f"{cell.verdict:.15}: unexpected"
    return cell.verdict if can_affect(cell.case, cell.way) else f"{cell.verdict} {NOTE}"


def rows(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Yield the cells of each fault, as soon as they are complete."""
    for _, row in groupby(cells, lambda cell: cell.case):
        yield list(row)


def print_row(row: Sequence[Cell], *, is_first: bool) -> None:
    """Print the cells of a fault, after a heading if it is the first of its group."""
    rest = [""] * (len(WAYS) - len(row))
    if is_first:
        print(f"\n{LAYOUT.format(row[0].case.about, *(cell.way for cell in row), *rest)}")
    print(LAYOUT.format(row[0].case.name, *map(cell_text, row), *rest), flush=True)


def summary(cells: Sequence[Cell]) -> str:
    """Return the numbers of faults, of cells, and of cells that end as specified."""
    unexpected = sum(bool(cell.unexpected) for cell in cells)
    faults = len(list(rows(cells)))
    return f"{faults} faults, {len(cells)} cells: {len(cells) - unexpected} as specified, {unexpected} unexpected"


def markdown(cells: Sequence[Cell]) -> str:
    """Return the summary and a Markdown table for each group of faults."""
    parts = [summary(cells)]
    for about, found in groupby(rows(cells), lambda row: row[0].case.about):
        group = list(found)
        ways = [cell.way for cell in group[0]]
        head = f"| {about} | {' | '.join(ways)} |\n| --- |{' --- |' * len(ways)}"
        parts.append(
            "\n".join([head, *(f"| {row[0].case.name} | {' | '.join(map(cell_text, row))} |" for row in group)])
        )
    return "\n\n".join(parts)


def write_page(cells: Sequence[Cell]) -> None:
    """Replace the tables in docs/reliability.md."""
    replace_tables(BEGIN, END, markdown(cells))
