"""Draws the plots of the page: narrow enough for a phone, in colours that follow dark mode.

A browser shows an image in the colours of the page around it, also where the reader has switched to dark mode. Each
image has a background of its own, so it can be read in a browser that only follows the system's mode, too.
"""

from __future__ import annotations

import re
import textwrap
from html import escape
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH = 4.7
"""Width of a plot in inches. Shown as wide as a phone, a point of text is about a pixel high."""

TEXT = 10
"""Size of all texts in points."""

_LINE = 44
"""How many characters of a legend, or of a label above a bar, fit into a line."""

COLOURS = {
    "#ffffff": ("paper", "#ffffff", "#1e2129"),
    "#000000": ("ink", "#1d2733", "#e2e4e9"),
    "#cccccc": ("edge", "#c9ced6", "#5c6370"),
    "#1f77b4": ("c0", "#1f77b4", "#6cb2eb"),
    "#ff7f0e": ("c1", "#d9640a", "#ffa94d"),
    "#2ca02c": ("c2", "#2a8f2a", "#69db7c"),
    "#d62728": ("c3", "#d62728", "#ff8787"),
    "#9467bd": ("c4", "#8a5bb5", "#c0a4e6"),
    "#8c564b": ("c5", "#8c564b", "#d0a79c"),
    "#e377c2": ("c6", "#c2559f", "#f0a3da"),
    "#7f7f7f": ("c7", "#707070", "#a8a8a8"),
    "#bcbd22": ("c8", "#8f9010", "#d5d65c"),
    "#17becf": ("c9", "#0f8f9c", "#5fdbe8"),
}
"""What matplotlib draws with, each with the name of its variable, and its values in light and in dark mode.

White, black, the edge of legends, and the colours of lines and bars in their order.
"""


def draw(plot: Callable[[Figure], None], title: str, path: Path) -> None:
    """Draw a plot into a file. The same data gives the same file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # A fixed salt and no date: the same data gives the same file. Text stays text instead of becoming paths.
    mpl.rcParams |= {"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": TEXT}
    mpl.rcParams |= dict.fromkeys(("legend.fontsize", "xtick.labelsize", "ytick.labelsize", "axes.labelsize"), TEXT)
    figure = Figure(layout="constrained")
    plot(figure)
    figure.suptitle(title, fontsize=TEXT + 2)
    _fit(figure)
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    path.write_text(themed(text.getvalue(), title))


def _fit(figure: Figure) -> None:
    """Put axes below each other, the legend below all of them, and long names of rows above their rows."""
    figure.set_size_inches(WIDTH, WIDTH)
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if axis.get_scale() == "log"):
        _write_numbers(axis)
    figure.draw_without_rendering()  # only now do the axes know their labels
    rows = [_names_above(axes) for axes in figure.axes]
    grid = figure.add_gridspec(len(figure.axes), 1)
    for place, axes in zip(grid, figure.axes, strict=True):
        axes.set_subplotspec(place)
    lines = _legend_below(figure)
    height = sum(0.42 * count + 0.7 if count else 2.9 for count in rows) + 0.2 * lines + 0.4
    figure.set_size_inches(WIDTH, height)


def _write_numbers(axis: Axis) -> None:
    """Write the numbers of a logarithmic axis in full: an exponent is too small for a phone."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
    axis.set_minor_formatter(NullFormatter())


def _names_above(axes: Axes) -> int:
    """Write the names of rows above the rows, and return the number of rows; 0 if the axis has numbers."""
    labels = [label.get_text() for label in axes.get_yticklabels()]
    if not any(re.search("[a-z]{2}", label) for label in labels):
        return 0
    places = axes.get_yticks()
    for place, label in zip(places, labels, strict=True):
        axes.annotate(
            label, (0, place), (4, 7), xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="bottom"
        )
    axes.set_yticks([])
    for bar in axes.patches:
        bar.set_height(0.3)
        bar.set_y(bar.get_y() + 0.25)
    low, high = axes.get_ylim()
    # A name lies above its row, so there has to be room above the first one.
    room = (-0.4, 0.75) if low < high else (0.4, -0.75)
    first, last = sorted((min(places), max(places)), reverse=low > high)
    axes.set_ylim(first + room[0], last + room[1])
    return len(labels)


def _legend_below(figure: Figure) -> int:
    """Put the entries of all legends below the axes, and return the number of their lines."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    found = [legend for legend in legends if legend is not None]
    if not found:
        return 0
    (legend,) = found
    labels = [textwrap.fill(text.get_text().replace("`", ""), _LINE) for text in legend.get_texts()]
    title = legend.get_title().get_text() or None
    handles = legend.legend_handles
    legend.remove()
    figure.legend(handles, labels, loc="outside lower center", ncols=1, title=title)
    return sum(label.count("\n") + 1 for label in labels) + bool(title)


def themed(svg: str, title: str) -> str:
    """Return an image with colours that follow the mode, and with a title for those who do not see it."""
    for colour, (name, *_) in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    light, dark = (" ".join(f"--{name}: {values[mode]};" for name, *values in COLOURS.values()) for mode in (0, 1))
    style = (
        f"<title>{escape(title)}</title>\n"
        f"<style>\n:root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        "text { fill: var(--ink); }\n</style>\n"
    )
    # Phones do not have this font; Verdana is about as wide.
    svg = svg.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    before, found, after = svg.partition("<metadata")
    return f"{before}{style}{found}{after}"
