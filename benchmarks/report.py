"""Writes the results of a benchmark: JSON, a plot, and the tables in ``docs/performance.md``."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil  # type: ignore[import-untyped]  # installed with Airflow, without its stubs

from benchmarks import pictures, summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
PACKAGES = ("apache-airflow", "apache-airflow-providers-http", "aiohttp", "requests", "sseclient-py", "cryptography")


@dataclass(frozen=True)
class Goal:
    """A measured figure with its upper limit.

    :param name: what the figure is, as the page shows it.
    :param value: the measured figure, in `unit`.
    :param limit: the goal is met if the figure is at most this number.
    :param unit: for example ``"ms"``; ``"times"`` for a ratio.
    :param reference: the same figure of a simpler program, measured in the same run; None if there is none.
    :param spread: the lowest and the highest of the rounds whose median the figure is; None for a single round.
    """

    name: str
    value: float
    limit: float
    unit: str
    reference: float | None = None
    spread: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        """Whether the figure is at most the limit."""
        return self.value <= self.limit


class Benchmark(Protocol):
    """The functions that each benchmark module of this package has. The data of a benchmark is JSON.

    A module with several tables has, instead of `table`, a function `tables` that returns them by their headings. A
    module without `plot` has no plot. `PAGE` is where the results are written, by default ``docs/performance.md``.
    `FORM`, by default 1, is raised when results that were stored before can't be rendered any more.
    """

    TITLE: str

    def measure(self, smoke: bool) -> Any:
        """Run the benchmark and return its data; a smoke run only shows within seconds that the benchmark works."""

    def table(self, data: Any) -> list[list[str]]:
        """Return the rows of the table on the page; the first row is the heading."""

    def goals(self, data: Any) -> list[Goal]:
        """Return the goals of the benchmark."""

    def plot(self, data: Any, figure: Figure) -> None:
        """Draw the data into a figure."""


def machine() -> dict[str, str]:
    """Describe this machine, its operating system, Python, and the versions of the measured packages."""
    model = re.search(r"model name\s*: (.*)", _read("/proc/cpuinfo"))
    return {
        "processor": f"{os.cpu_count()} x {model[1] if model else platform.processor() or platform.machine()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    } | {name: metadata.version(name) for name in PACKAGES}


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def write(name: str, benchmark: Benchmark, data: Any, root: Path, *, judged: bool) -> str:
    """Write the JSON, the plot and the page section of one benchmark; return the text of the section.

    :param root: folder that gets ``benchmarks/results/`` and ``docs/``.
    :param judged: include the table of goals.
    """
    result = {"measured": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "data": data}
    form = getattr(benchmark, "FORM", 1)
    measured = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"measured": measured, "form": form, "machine": machine(), "data": data}
    _write(_results(root, name), json.dumps(result, indent=1) + "\n")
    return render(name, benchmark, result, root, judged=judged)


def read(name: str) -> Any:
    """Return the stored result of a benchmark: when and where it was measured, and its data; None without a result."""
    path = _results(ROOT, name)
    return json.loads(path.read_text()) if path.exists() else None


def is_current(benchmark: Benchmark, result: Any) -> bool:
    """Return whether a stored result is of this version of the benchmark, so that it can be rendered."""
    return result is not None and result.get("form", 1) == getattr(benchmark, "FORM", 1)


def render(name: str, benchmark: Benchmark, result: Any, root: Path, *, judged: bool) -> str:
    """Write the plot and the page section of a result; return the text of the section. `write` has the parameters."""
    picture = None
    if hasattr(benchmark, "plot"):
        pictures.draw(lambda figure: benchmark.plot(result["data"], figure), benchmark.TITLE, _plot(root, name))
        picture = f"performance/{name}.svg"
    text = section(benchmark, result, picture, judged=judged)
    _fill(root, name, text, getattr(benchmark, "PAGE", PAGE))
    return text


def summarize(root: Path) -> None:
    """Write the plot and the table at the head of the page, from the stored results."""
    results = {name: read(name)["data"] for name in summary.SOURCES}
    pictures.draw(lambda figure: summary.plot(results, figure), summary.TITLE, _plot(root, "summary"))
    text = f"{markdown(summary.table(results))}\n\n![{summary.TITLE}](performance/summary.svg)"
    _fill(root, "summary", text, PAGE)


def _results(root: Path, name: str) -> Path:
    return root / "benchmarks" / "results" / f"{name}.json"


def _plot(root: Path, name: str) -> Path:
    path = root / "docs" / "performance" / f"{name}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _fill(root: Path, name: str, text: str, original: Path) -> None:
    page = root / original.relative_to(ROOT)
    _write(page, with_section((page if page.exists() else original).read_text(), name, text))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def section(benchmark: Benchmark, result: Any, plot: str | None, *, judged: bool) -> str:
    """Return the page section of one benchmark: its tables, its goals, its plot, and the machine it ran on."""
    data = result["data"]
    if hasattr(benchmark, "tables"):
        parts = [text for heading, rows in benchmark.tables(data).items() for text in (f"{heading}:", markdown(rows))]
    else:
        parts = [markdown(benchmark.table(data))]
    if judged and (goals := benchmark.goals(data)):
        parts.append(markdown(_goal_rows(goals)))
    if plot:
        parts.append(f"![{benchmark.TITLE}]({plot})")
    host = result["machine"]
    versions = ", ".join(f"{name} {host[name]}" for name in PACKAGES)
    parts.append(
        f"*Measured on {result['measured'][:10]} on a machine with {host['processor']}, {host['memory']} "
        f"of memory and {host['system']}, with Python {host['python']}, {versions}.*"
    )
    return "\n\n".join(parts)


def _goal_rows(goals: list[Goal]) -> list[list[str]]:
    """Return the rows of a table of goals, with the columns *rounds* and *reference* if one of the goals has such."""
    has_spread = any(goal.spread is not None for goal in goals)
    has_reference = any(goal.reference is not None for goal in goals)
    rows = [["goal", "measured", *["rounds"] * has_spread, "at most", "result", *["reference"] * has_reference]]
    for goal in goals:
        row = [goal.name, f"{goal.value:.3g} {goal.unit}"]
        if has_spread:
            row.append("" if goal.spread is None else " to ".join(f"{value:.3g}" for value in goal.spread))
        row += [f"{goal.limit:g} {goal.unit}", "met" if goal.met else "**missed**"]
        if has_reference:
            row.append("" if goal.reference is None else f"{goal.reference:.3g} {goal.unit}")
        rows.append(row)
    return rows


def markdown(rows: list[list[str]]) -> str:
    """Return the rows as a Markdown table; the first row is the heading."""
    heading, *body = rows
    lines = [heading, ["---"] + ["---:"] * (len(heading) - 1), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_section(page: str, name: str, text: str) -> str:
    """Return the page with the text of one benchmark between the benchmark's two marker comments.

    :raises ValueError: if the page lacks one of the two comments.
    """
    begin, end = f"<!-- results: {name} -->", f"<!-- end of {name} -->"
    before, begin_found, rest = page.partition(begin)
    _, end_found, after = rest.partition(end)
    if not (begin_found and end_found):
        raise ValueError(f"the page has no section between {begin} and {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
