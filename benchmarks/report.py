"""Where figures go: JSON, tables, plots, and the page that shows them."""

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

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
PACKAGES = ("apache-airflow", "apache-airflow-providers-http", "aiohttp", "requests", "sseclient-py", "cryptography")


@dataclass(frozen=True)
class Goal:
    """A figure that is to be no larger than its limit.

    :param floor: the same figure of what nobody can go below by the same means, measured in the same run.
    """

    what: str
    value: float
    limit: float
    unit: str
    floor: float | None = None

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value <= self.limit


class Measure(Protocol):
    """What a module of this package has that measures something. Its data is JSON."""

    TITLE: str

    def measure(self, smoke: bool) -> Any:
        """Measure, and return the data. Smoking, show within seconds that it can be measured."""

    def table(self, data: Any) -> list[list[str]]:
        """Return the rows of a table; the first is its head."""

    def goals(self, data: Any) -> list[Goal]:
        """Return the goals."""

    def plot(self, data: Any, figure: Figure) -> None:
        """Draw the data."""


def machine() -> dict[str, str]:
    """Describe the machine and what runs on it."""
    model = re.search(r"model name\s*: (.*)", _read("/proc/cpuinfo"))
    return {
        "processor": f"{os.cpu_count()} x {model[1] if model else platform.processor() or platform.machine()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    } | {name: metadata.version(name) for name in PACKAGES}


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def write(name: str, measure: Measure, data: Any, root: Path, *, judged: bool) -> str:
    """Write JSON, plot and page of one measure below a folder, and return what to print.

    :param judged: show which goals are met.
    """
    result = {"measured": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "data": data}
    _write(root / "benchmarks" / "results" / f"{name}.json", json.dumps(result, indent=1) + "\n")
    plot = root / "docs" / "performance" / f"{name}.svg"
    plot.parent.mkdir(parents=True, exist_ok=True)
    _draw(measure, data, plot)
    text = section(measure, result, f"performance/{name}.svg", judged=judged)
    page = root / PAGE.relative_to(ROOT)
    _write(page, replaced((page if page.exists() else PAGE).read_text(), name, text))
    return text


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _draw(measure: Measure, data: Any, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The same data give the same file, and its text stays text.
    mpl.rcParams |= {"svg.hashsalt": "benchmarks", "svg.fonttype": "none"}
    figure = Figure(figsize=(9, 5), layout="constrained")
    measure.plot(data, figure)
    figure.suptitle(measure.TITLE)
    figure.savefig(path, metadata={"Date": None})


def section(measure: Measure, result: Any, plot: str, *, judged: bool) -> str:
    """Return the part of the page that shows one measure: its table, its goals, its plot and its machine."""
    data = result["data"]
    parts = [markdown(measure.table(data))]
    if judged and (goals := measure.goals(data)):
        rows = [["goal", "measured", "at most", "", "floor"]]
        rows += [_row(goal) for goal in goals]
        parts.append(markdown(rows))
    parts.append(f"![{measure.TITLE}]({plot})")
    of = result["machine"]
    versions = ", ".join(f"{name} {of[name]}" for name in PACKAGES)
    parts.append(
        f"*Measured {result['measured'][:10]} on {of['processor']}, {of['memory']}, {of['system']}, "
        f"Python {of['python']}, {versions}.*"
    )
    return "\n\n".join(parts)


def _row(goal: Goal) -> list[str]:
    verdict = "met" if goal.met else "**missed**"
    floor = "" if goal.floor is None else f"{goal.floor:.3g} {goal.unit}"
    return [goal.what, f"{goal.value:.3g} {goal.unit}", f"{goal.limit:g} {goal.unit}", verdict, floor]


def markdown(rows: list[list[str]]) -> str:
    """Return a table."""
    head, *body = rows
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replaced(page: str, name: str, text: str) -> str:
    """Return a page with the results of one measure in their place, between two comments.

    :raises ValueError: if the page has no such place.
    """
    begin, end = f"<!-- results: {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no place between {begin} and {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
