"""The head of the page shows the stored results, and the pictures follow dark mode."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import parsing, pictures, summary, waits
from benchmarks.report import PAGE, ROOT, is_current, markdown, read, with_section

PLOTS = sorted((ROOT / "docs" / "performance").glob("*.svg"))


def test_summary() -> None:
    """The table at the head of the page has five rows, with the figures of the stored results, then one picture."""
    rows = summary.table({name: read(name)["data"] for name in summary.SOURCES})
    assert len(rows) == 1 + 5
    page = PAGE.read_text()
    picture = f"![{summary.TITLE}](performance/summary.svg)"
    assert with_section(page, "summary", f"{markdown(rows)}\n\n{picture}") == page
    assert page.index(picture) < page.index("\n## ")


def test_themed() -> None:
    """Each colour of a plot becomes a variable with a value for light and one for dark mode; phones know the font."""
    svg = pictures.themed("<svg>\n <metadata/><g style=\"fill: #1f77b4; font-family: 'DejaVu Sans'\"/></svg>", "Title")
    assert "\"fill: var(--c0); font-family: 'DejaVu Sans', Verdana, sans-serif\"" in svg
    assert svg.index("<title>Title</title>") < svg.index("<metadata")
    light, dark = re.findall(r"--c0: (#\w+);", svg)
    assert light != dark


@pytest.mark.parametrize("path", PLOTS, ids=lambda path: path.stem)
def test_plots(path: Path) -> None:
    """A plot has no colour that dark mode does not change, and is narrow enough for a phone."""
    text = path.read_text()
    drawn = text.partition("</style>")[2]
    assert re.findall(r"#[0-9a-f]{6}\b(?!\w)", drawn) == []
    assert "prefers-color-scheme: dark" in text
    width = re.search(r'width="([\d.]+)pt"', text)
    assert width
    assert float(width[1]) <= 72 * pictures.WIDTH
    sizes = {float(size) for size in re.findall(r"font-size: ([\d.]+)px", drawn)}
    assert min(sizes - {7.0}) >= pictures.TEXT  # the exponents on an axis are smaller


def test_results_of_an_earlier_version() -> None:
    """A result that is missing, or of another form than the benchmark has now, is not rendered."""
    assert is_current(waits, {"form": waits.FORM})
    assert not is_current(waits, {})
    assert not is_current(waits, None)
    assert is_current(parsing, {})
