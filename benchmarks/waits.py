"""Waits per triggerer: CPU and memory of many idle waits in one process, for this provider's trigger and for others."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.report import Goal
from benchmarks.waiting import BLOCKS, HTTP2, measure_once

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Waits per triggerer"
COUNTS = (100, 1000, 5000)
PING_INTERVAL = 1.0
"""Seconds between two pings of a stream. White Rabbit sends a ping every 15 seconds, so the load is 15 times higher."""

WAYS = {
    "bare": "plain asyncio reader, no Airflow (floor)",
    "triggerer": "trigger with the plain asyncio reader",
    "aiohttp": "trigger that only reads the stream with aiohttp",
    "ours": "**this provider's trigger, HTTP/1.1**",
    HTTP2: "**this provider's trigger, HTTP/2**",
    "http": "http provider's sensor trigger, polling every 5 s",
    "threads": "sseclient-py with requests, one thread per wait",
}

SETS = {"TLS": "Over TLS 1.3", "HTTP": "In plain HTTP"}
"""The two sets of connections with the headings of their tables."""

MAX_WAITS = {"threads": 1000, "http": 1000}
"""Largest number of waits that is measured with these ways: of 5,000 threads, only 3,200 had started after three
minutes, and 5,000 waits of the http provider's trigger poll more often than this machine makes new TLS connections."""

COMPARED = ("bare", "aiohttp", "ours", HTTP2)
"""The ways that the goals compare."""

ROUNDS = 3
"""How often the compared ways are measured with the most waits over TLS, because the CPU time of two runs differs."""

FORM = 3
"""The results of form 1 are of plain HTTP alone, those of form 2 of HTTP/1.1 alone."""


def measure(smoke: bool) -> Any:
    """Measure each way with each number of waits, and the compared ways several times in turns with the most waits."""
    rows = []
    for kind in SETS:
        for count in (10,) if smoke else COUNTS:
            shown = COMPARED if smoke and kind == "HTTP" else WAYS
            ways = [way for way in shown if is_measured(kind, way) and count <= MAX_WAITS.get(way, count)]
            rounds = {way: [_measure(kind, way, count, smoke)] for way in ways}
            for _ in range(1, ROUNDS if (kind, count) == ("TLS", max(COUNTS)) else 1):
                for way in COMPARED:
                    rounds[way].append(_measure(kind, way, count, smoke))
            rows += [{"kind": kind, "way": way, "count": count} | summary(usages) for way, usages in rounds.items()]
    return rows


def is_measured(kind: str, way: str) -> bool:
    """Return whether a way is measured with a set of connections: HTTP/2 needs TLS."""
    return kind == "TLS" or way != HTTP2


def _measure(kind: str, way: str, count: int, smoke: bool) -> dict[str, float]:
    seconds = 0.5 if smoke else 15
    return measure_once(way, count, tls=kind == "TLS", seconds=seconds, ping_interval=PING_INTERVAL)


def summary(usages: list[dict[str, float]]) -> dict[str, Any]:
    """Return the medians of several rounds, the longest blocks of all rounds, and the rounds themselves."""
    medians = {name: statistics.median(usage[name] for usage in usages) for name in usages[0]}
    return medians | {name: max(usage[name] for usage in usages) for name in BLOCKS} | {"rounds": usages}


def tables(data: Any) -> dict[str, list[list[str]]]:
    """Return the tables with their headings: idle waits over TLS, how all of them start, and both in plain HTTP."""
    found = {}
    for kind, heading in SETS.items():
        rows = [row for row in data if row["kind"] == kind]
        found[f"{heading}, while the waits are idle"] = _idle_table(rows)
        found[f"{heading}, until all waits stream, and until all stream again after the server dropped them"] = (
            _herd_table(rows)
        )
    return found


def _idle_table(rows: Any) -> list[list[str]]:
    heading = ["way", "waits", "CPU s per wait and hour", "CPU / floor", "KiB per wait", "sockets"]
    lines = [[*heading, "longest block, ms", "longest block at the start, ms"]]
    for usage in rows:
        bare = _row(rows, "bare", usage["count"])
        has_loop = usage["way"] != "threads"
        lines.append(
            [
                WAYS[usage["way"]],
                f"{usage['count']:,}",
                f"{usage['cpu_per_hour']:.3f}",
                f"{usage['cpu_per_hour'] / bare['cpu_per_hour']:.2f}",
                f"{usage['memory'] / 1024:.1f}",
                f"{usage['sockets']:,.0f}",
                *(f"{usage[block] * 1000:.0f}" if has_loop else "" for block in ("block", "start_block")),
            ]
        )
    return lines


def _herd_table(rows: Any) -> list[list[str]]:
    phases = ("start", "again")
    lines = [["way", "waits", *(f"{phase}: {what}" for phase in phases for what in _HERD)]]
    for usage in rows:
        line = [WAYS[usage["way"]], f"{usage['count']:,}"]
        for phase in phases:
            line += _herd_cells(usage, phase) if f"{phase}_seconds" in usage else [""] * len(_HERD)
        lines.append(line)
    return lines


_HERD = ("s", "CPU per wait, ms", "peak memory, MiB", "full / resumed handshakes")


def _herd_cells(usage: Any, phase: str) -> list[str]:
    handshakes, resumed = usage[f"{phase}_handshakes"], usage[f"{phase}_resumed"]
    return [
        f"{usage[f'{phase}_seconds']:.1f}",
        f"{usage[f'{phase}_cpu'] / usage['count'] * 1000:.2f}",
        f"{usage[f'{phase}_peak'] / 2**20:.0f}",
        f"{handshakes - resumed:,.0f} / {resumed:,.0f}" if handshakes else "",
    ]


def _row(rows: Any, way: str, count: int) -> Any:
    return next(row for row in rows if (row["way"], row["count"]) == (way, count))


class _Limits(NamedTuple):
    """The goals of one protocol.

    :param memory: KiB of a wait.
    :param sockets: how many the most waits have.
    :param start: milliseconds of CPU to start a wait.
    """

    protocol: str
    memory: float
    sockets: float
    start: float


def _limits(most: int) -> dict[str, _Limits]:
    """Return the goals of this provider's ways for so many waits."""
    # A hundred streams share a connection; a fifth more for those that come and go.
    return {"ours": _Limits("HTTP/1.1", 100, most, 3), HTTP2: _Limits("HTTP/2", 28, math.ceil(most * 1.2 / 100), 1.5)}


def goals(data: Any) -> list[Goal]:
    """Return the goals for the most waits over TLS, and for the growth up to them, of both protocols."""
    rows = [row for row in data if row["kind"] == "TLS"]
    *_, middle, most = sorted({row["count"] for row in rows if row["way"] == "ours"})
    found = []
    for way, limits in _limits(most).items():
        found += _goals_of(way, limits, rows, middle, most)
    again = [_row(rows, way, most)["again_seconds"] for way in (HTTP2, "ours")]
    return [*found, Goal("until all stream again after a drop, HTTP/2 / HTTP/1.1", again[0] / again[1], 0.5, "times")]


def _goals_of(way: str, limits: _Limits, rows: Any, middle: int, most: int) -> list[Goal]:
    """Return the goals of one protocol.

    The reference of HTTP/1.1 is the trigger with aiohttp. The CPU of each round is compared with the floor's of the
    same round, because the rounds of one machine differ too.
    """
    ours, fewer, bare = _row(rows, way, most), _row(rows, way, middle), _row(rows, "bare", most)
    aiohttp = _row(rows, "aiohttp", most) if way == "ours" else None
    pairs = zip(ours["rounds"], bare["rounds"], strict=True)
    ratios = [one["cpu_per_hour"] / floor["cpu_per_hour"] for one, floor in pairs]
    blocks = [row[block] for row in rows if row["way"] == way for block in ("block", "start_block")]

    def reference(figure: str, factor: float) -> float | None:
        return None if aiohttp is None else aiohttp[figure] * factor

    def per_wait(name: str, figure: str, factor: float, limit: float, unit: str) -> Goal:
        values = [usage[figure] * factor for usage in ours["rounds"]]
        spread = (min(values), max(values))
        return Goal(name, ours[figure] * factor, limit, unit, reference(figure, factor), spread)

    floor, spread = reference("cpu_per_hour", 1 / bare["cpu_per_hour"]), (min(ratios), max(ratios))
    growth = f"of a wait among {most:,} waits / among {middle:,}"
    figures = [
        Goal("CPU / floor", statistics.median(ratios), 1.5, "times", floor, spread),
        per_wait("memory of a wait", "memory", 1 / 1024, limits.memory, "KiB"),
        Goal(f"sockets of {most:,} waits", ours["sockets"], limits.sockets, "sockets", reference("sockets", 1)),
        per_wait("CPU of a start", "start_cpu", 1000 / most, limits.start, "ms"),
        Goal("longest block, starting included", max(blocks) * 1000, 50, "ms", reference("start_block", 1000)),
        Goal(f"CPU {growth}", ours["cpu_per_hour"] / fewer["cpu_per_hour"], 1.2, "times"),
        Goal(f"memory {growth}", ours["memory"] / fewer["memory"], 1.2, "times"),
    ]
    return [replace(goal, name=f"{limits.protocol}: {goal.name}") for goal in figures]


def plot(data: Any, figure: Figure) -> None:
    """Draw the CPU and the memory of a wait over TLS by the number of waits, one line for each way."""
    left, right = figure.subplots(1, 2)
    for way, description in WAYS.items():
        rows = [row for row in data if (row["kind"], row["way"]) == ("TLS", way)]
        counts = [row["count"] for row in rows]
        left.plot(counts, [row["cpu_per_hour"] for row in rows], marker="o", label=description.replace("*", ""))
        right.plot(counts, [row["memory"] / 1024 for row in rows], marker="o")
    left.set(xscale="log", yscale="log", xlabel="waits", ylabel="CPU seconds per wait and hour")
    right.set(xscale="log", yscale="log", xlabel="waits", ylabel="KiB per wait")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
