"""The table of the cases: its lines on the terminal, and its Markdown in docs/beyond-one-machine.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dev.proofs.cluster.cases import Case
from dev.proofs.cluster.outcome import Row
from dev.proofs.cluster.runner import Options, Report

PAGE = Path(__file__).parents[3] / "docs" / "beyond-one-machine.md"
BEGIN, END = "<!-- written by make cluster -->", "<!-- end of the table of make cluster -->"

HEADINGS = ("executions", "submitted", "ended", "retried", "doubted", "twice", "wrong", "stuck")
LAYOUT = "{:<66}  " + "  ".join(f"{{:>{len(heading)}}}" for heading in HEADINGS) + "  {}"
LEGEND = """\
what it hit: the waits of the killed triggerer, the tasks that the killed scheduler had sent to the workers, the
messages that Redis lost. ended: executions whose result Airflow has. retried: tasks that needed more than one try.
doubted: executions whose task ended with a doubt, because its submission was in flight when a part failed. twice:
submissions beyond one for each execution. wrong: tasks that failed without a doubt, or have another result. stuck:
tasks that did not end."""


def counts(row: Row) -> tuple[int, ...]:
    """Return the numbers of a row, in the order of the headings."""
    return tuple(getattr(row, name) for name in HEADINGS)


def totals(report: Report) -> list[int]:
    """Return the sums of the columns."""
    return [sum(column) for column in zip(*map(counts, report.rows.values()), strict=True)]


def line(case: Case, row: Row) -> str:
    """Return a line of the table for the terminal."""
    return LAYOUT.format(case.title, *counts(row), f"{'unexpected' if row.problems else 'ok'}; hit: {row.hit or '-'}")


def summary(report: Report) -> str:
    """Return what the table does not show, as a sentence."""
    restarts = ", ".join(f"{name} {count}" for name, count in sorted(report.restarts.items())) or "none"
    return (
        f"{report.redelivered} tasks were delivered again by Celery. "
        f"Components that exited by themselves and were started again: {restarts}."
    )


def markdown(options: Options, report: Report) -> str:
    """Return the Markdown of the table and of what it does not show."""

    def lines() -> Iterator[str]:
        yield f"| what fails | what it hit | {' | '.join(HEADINGS)} |"
        yield f"| --- | --- |{' ---: |' * len(HEADINGS)}"
        for case, row in report.rows.items():
            yield f"| {case.title} | {row.hit} | {' | '.join(map(str, counts(row)))} |"
        yield f"| **together** | | {' | '.join(map(str, totals(report)))} |"

    return "\n".join([*lines(), "", LEGEND, "", f"{summary(report)} The seed of this run was {options.seed}."])


def write_page(options: Options, report: Report) -> None:
    """Replace the table in docs/beyond-one-machine.md."""
    table = f"{BEGIN}\n\n{markdown(options, report)}\n\n{END}"
    PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: table, PAGE.read_text(), flags=re.DOTALL))
