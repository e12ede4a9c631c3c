"""The tables of misbehaviours: their lines on the terminal, and their Markdown in docs/reliability.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from dev.proofs.hostile.cases import GROUPS
from dev.proofs.hostile.peer import Place
from dev.proofs.hostile.runner import Cell, specified
from dev.proofs.page import replace_tables

BEGIN, END = "<!-- written by make hostile -->", "<!-- end of the tables of make hostile -->"

PLACES: tuple[Place, ...] = ("record", "stream", "submission")
LAYOUT = "{:<54.54}  {:<26.26}  {:<22.22}  {:<22.22}  {:<22.22}  {:>5}  {:>5}  {:>4}"
HEADING = ("clause", *PLACES)
MEASURED = ("s", "ms", "MiB")
"""The columns that differ from run to run. They are printed only."""


@dataclass(frozen=True)
class Row:
    """One line of the table: all cells of a case.

    :param verdicts: for each place how waits or submissions ended there; empty if the case makes no sense there.
    :param seconds: how long the slowest of them took.
    :param block: the longest block of an event loop, in milliseconds; None if no cell has one.
    :param growth: by how many MiB the memory of a process grew at most.
    """

    name: str
    clause: str
    verdicts: tuple[str, ...]
    seconds: float
    block: float | None
    growth: float

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> Row:
        """Return the line of a case, whose cells are given."""
        blocks = [1000 * cell.outcome.block for cell in cells if cell.outcome.block is not None]
        return cls(
            cells[0].case.name,
            cells[0].case.clause,
            tuple(_verdict([cell for cell in cells if cell.place == place]) for place in PLACES),
            max(cell.outcome.seconds for cell in cells),
            max(blocks, default=None),
            max(cell.outcome.growth for cell in cells),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The texts of the columns that are the same in every run."""
        return (self.name, self.clause, *self.verdicts)

    @property
    def measured(self) -> tuple[str, ...]:
        """The texts of the other columns."""
        block = "" if self.block is None else f"{self.block:.0f}"
        return (f"{self.seconds:.1f}", block, f"{self.growth:.0f}")


def _verdict(cells: Sequence[Cell]) -> str:
    """Return how waits or submissions ended: one word if all of them ended alike."""
    if not cells:
        return ""
    if any(cell.unexpected for cell in cells):
        return "unexpected"
    verdicts = {cell.outcome.verdict: specified(cell.case, cell.place, cell.way) for cell in cells}
    return ", ".join(sorted(verdicts))


def rows(cells: Iterable[Cell]) -> Iterator[tuple[str, Row]]:
    """Yield the lines of all cases, each with the name of its table, as soon as the cells of a case are complete."""
    groups = {id(case): group for group, cases in GROUPS.items() for case in cases}
    for _, found in groupby(cells, lambda cell: id(cell.case)):
        whole = list(found)
        yield groups.get(id(whole[0].case), "Others"), Row.of(whole)


def print_row(group: str, row: Row, *, is_first: bool) -> None:
    """Print a line, after a heading if it is the first of its table."""
    if is_first:
        print(f"\n{LAYOUT.format(group, *HEADING, *MEASURED)}")
    print(LAYOUT.format(*row.columns, *row.measured), flush=True)


def summary(cells: Sequence[Cell]) -> str:
    """Return the numbers of misbehaviours, of cells, and of cells that end as specified."""
    unexpected = sum(bool(cell.unexpected) for cell in cells)
    cases = len({id(cell.case) for cell in cells})
    return f"{cases} misbehaviours, {len(cells)} cells: {len(cells) - unexpected} as specified, {unexpected} unexpected"


def markdown(cells: Sequence[Cell]) -> str:
    """Return the summary and a Markdown table for each group of misbehaviours."""
    parts = [summary(cells)]
    for group, found in groupby(rows(cells), lambda row: row[0]):
        head = f"| {group} | {' | '.join(HEADING)} |\n|{' --- |' * (1 + len(HEADING))}"
        parts.append("\n".join([head, *(f"| {' | '.join(row.columns)} |" for _, row in found)]))
    return "\n\n".join(parts)


def write_page(cells: Sequence[Cell]) -> None:
    """Replace the tables in docs/reliability.md."""
    replace_tables(BEGIN, END, markdown(cells))
