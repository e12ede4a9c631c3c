"""Compares the most important figures of this provider with those of polling, from the results of all benchmarks."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "This provider, and polling"
SOURCES = ("latency", "calls", "waits", "parsing")
"""The benchmarks whose results are compared."""

MODULE = "airflow_provider_whiterabbit.sensors.execution"
HTTP_MODULE = "airflow.providers.http.sensors.http"


@dataclass(frozen=True)
class Figures:
    """One quantity of both ways, in the same unit and from the same benchmark run.

    :param name: what was measured, as the page shows it.
    :param anchor: anchor of the section with the details.
    :param ours: the figure of this provider.
    :param polling: the same figure of the http provider's deferrable sensor.
    :param form: how the page shows a figure, such as ``"{:.1f} s"``.
    :param interval: seconds between two polls; None if the sensor does not run.
    """

    name: str
    anchor: str
    ours: float
    polling: float
    form: str
    interval: int | None = None


def figures(results: dict[str, Any]) -> list[Figures]:
    """Return what is compared, from the data of the benchmarks in `SOURCES`."""
    latency, calls, waits, parsing = (results[name] for name in SOURCES)
    tls = [row for row in waits if row.get("kind") == "TLS"] or waits  # results of form 1
    most = max(row["count"] for row in tls if row["way"] == "http")
    ours, http = ({row["way"]: row for row in tls if row["count"] == most}[way] for way in ("ours", "http"))
    return [
        Figures(
            "A task ends after its execution (median)",
            "latency",
            statistics.median(latency["deferrable"]["seconds"]),
            statistics.median(latency["http_deferrable"]["seconds"]),
            "{:.1f} s",
            60,
        ),
        Figures(
            "API calls of 1,000 waits of an hour",
            "api-calls",
            1000 * sum(calls["deferrable"].values()),
            1000 * sum(calls["poll 60"].values()),
            "{:,.0f}",
            60,
        ),
        Figures(
            f"CPU of one of {most:,} waits, per hour",
            "waits-per-triggerer",
            ours["cpu_per_hour"],
            http["cpu_per_hour"],
            "{:.2f} s",
            5,
        ),
        Figures(
            f"Memory of one of {most:,} waits",
            "waits-per-triggerer",
            ours["memory"] / 1024,
            http["memory"] / 1024,
            "{:.0f} KiB",
            5,
        ),
        Figures("CPU to import the sensor", "dag-parsing", parsing[MODULE], parsing[HTTP_MODULE], "{:.0f} ms"),
    ]


def table(results: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the table; the first row is the heading."""
    rows = [["what", "this provider", "http provider, polling"]]
    for row in figures(results):
        interval = f" (every {row.interval} s)" if row.interval else ""
        polling = row.form.format(row.polling) + interval
        rows.append([f"[{row.name}](#{row.anchor})", f"**{row.form.format(row.ours)}**", polling])
    return rows


def plot(results: dict[str, Any], figure: Figure) -> None:
    """Draw how much of polling's figure this provider's is, a bar for each row."""
    axes = figure.subplots()
    rows = figures(results)
    names = [f"{row.name}: {row.form.format(row.ours)}, not {row.form.format(row.polling)}" for row in rows]
    axes.barh(names, [100] * len(rows), color="#cccccc")
    axes.barh(names, [100 * row.ours / row.polling for row in rows], color="C0")
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="% of the figure of polling")
