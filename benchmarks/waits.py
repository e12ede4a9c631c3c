"""Waits per triggerer: CPU and memory of many idle waits in one process, for this provider's trigger and for others."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks import process
from benchmarks.blocking import WatchedSelector
from benchmarks.process import resident_bytes
from benchmarks.readers import STARTS, start_triggers
from benchmarks.report import Goal
from benchmarks.server import allow_many_files, get_json, serving

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
    "ours": "**this provider's trigger**",
    "http": "http provider's sensor trigger, polling every 5 s",
    "threads": "sseclient-py with requests, one thread per wait",
}

MAX_THREADS = 1000
"""Largest number of waits that is measured with threads: of 5,000, only 3,200 had started after three minutes."""

COMPARED = ("bare", "aiohttp", "ours")
"""The ways that the goals compare."""

ROUNDS = 3
"""How often the compared ways are measured with the most waits, because the CPU time of two runs differs by up to a
quarter."""

BLOCKS = ("block", "start_block", "collection")

START_TIMEOUT = 120.0
"""Seconds within which all waits together must start."""


def child(way: str, count: int, url: str, seconds: float) -> dict[str, float]:
    """Run in a child process: keep `count` waits open for `seconds` seconds and return what they used."""
    allow_many_files()
    selector = WatchedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        return runner.run(_measure_waits(selector, way, count, url, seconds))


async def _measure_waits(selector: WatchedSelector, way: str, count: int, url: str, seconds: float) -> dict[str, float]:
    start = STARTS.get(way, start_triggers)
    kept_alive = [await start(way, url, ["run-warm-up"])]  # pays for imports and other one-time work
    await _all_started(way, url, 1, min(1, seconds))
    memory = resident_bytes()
    selector.reset()
    cpu = time.process_time()
    kept_alive.append(await start(way, url, [f"run-{number}" for number in range(count)]))
    await _all_started(way, url, 1 + count, min(1, seconds))
    start_block, start_collection = selector.reset()
    usage = {"start_cpu": time.process_time() - cpu, "start_block": start_block, "collection": start_collection}
    selector.include_core_waits()  # subtracting them would add to the measured CPU
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    wall = time.perf_counter() - wall
    usage["cpu_per_hour"] = (time.process_time() - cpu) / wall / count * 3600
    usage["memory"] = (resident_bytes() - memory) / count
    return usage | {"block": selector.reset()[0]}


async def _all_started(way: str, url: str, count: int, settle_seconds: float) -> None:
    """Wait until `count` waits have started, and then some seconds more."""
    deadline = time.monotonic() + START_TIMEOUT
    while (started := await _started_count(way, url)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {started} of {count} waits started in {START_TIMEOUT:g} s")
        await asyncio.sleep(0.2)
    await asyncio.sleep(settle_seconds)


async def _started_count(way: str, url: str) -> int:
    counts = await asyncio.to_thread(get_json, url, "/counts")
    return int(counts.get("poll", 0) if way == "http" else counts["streams"])


def measure(smoke: bool) -> Any:
    """Measure each way with each number of waits, and the compared ways several times in turns with the most waits."""
    rows = []
    for count in (10,) if smoke else COUNTS:
        rounds = {way: [_measure_once(way, count, smoke)] for way in WAYS if way != "threads" or count <= MAX_THREADS}
        for _ in range(1, ROUNDS if count == max(COUNTS) else 1):
            for way in COMPARED:
                rounds[way].append(_measure_once(way, count, smoke))
        rows += [{"way": way, "count": count} | _summary(usages) for way, usages in rounds.items()]
    return rows


def _measure_once(way: str, count: int, smoke: bool) -> dict[str, float]:
    with serving(PING_INTERVAL) as url:
        arguments = {"way": way, "count": count, "url": url, "seconds": 0.5 if smoke else 15}
        usage: dict[str, float] = process.run("benchmarks.waits:child", process.connections(url), **arguments)
    return usage


def _summary(usages: list[dict[str, float]]) -> dict[str, float]:
    """Return the median CPU and memory of several rounds, and the longest blocks of all rounds."""
    medians = {name: statistics.median(usage[name] for usage in usages) for name in usages[0]}
    return medians | {name: max(usage[name] for usage in usages) for name in BLOCKS}


def table(data: Any) -> list[list[str]]:
    """Return the CPU, the memory and the blocks of each way."""
    heading = ["way", "waits", "CPU s per wait and hour", "CPU / floor", "KiB per wait", "longest block, ms"]
    rows = [[*heading, "longest block at the start, ms", "CPU per start, ms"]]
    for usage in data:
        bare = _row(data, "bare", usage["count"])
        has_loop = usage["way"] != "threads"
        rows.append(
            [
                WAYS[usage["way"]],
                f"{usage['count']:,}",
                f"{usage['cpu_per_hour']:.3f}",
                f"{usage['cpu_per_hour'] / bare['cpu_per_hour']:.2f}",
                f"{usage['memory'] / 1024:.1f}",
                *(f"{usage[block] * 1000:.0f}" if has_loop else "" for block in ("block", "start_block")),
                f"{usage['start_cpu'] / usage['count'] * 1000:.2f}",
            ]
        )
    return rows


def _row(data: Any, way: str, count: int) -> Any:
    return next(row for row in data if (row["way"], row["count"]) == (way, count))


def goals(data: Any) -> list[Goal]:
    """Return the goals for the most waits and for the growth up to them; the reference is the trigger with aiohttp."""
    *_, middle, most = sorted({row["count"] for row in data})
    ours, aiohttp, bare = (_row(data, way, most) for way in ("ours", "aiohttp", "bare"))
    fewer, blocks = _row(data, "ours", middle), [row for row in data if row["way"] == "ours"]
    cpu = bare["cpu_per_hour"]
    growth = f"of a wait among {most:,} waits / among {middle:,}"
    return [
        Goal("CPU / floor", ours["cpu_per_hour"] / cpu, 2.0, "times", aiohttp["cpu_per_hour"] / cpu),
        Goal("memory of a wait", ours["memory"] / 1024, 25, "KiB", aiohttp["memory"] / 1024),
        Goal("longest block while the waits are idle", max(row["block"] for row in blocks) * 1000, 50, "ms"),
        Goal(
            "longest block while the waits start",
            max(row["start_block"] for row in blocks) * 1000,
            50,
            "ms",
            aiohttp["start_block"] * 1000,
        ),
        Goal(f"CPU {growth}", ours["cpu_per_hour"] / fewer["cpu_per_hour"], 1.2, "times"),
        Goal(f"memory {growth}", ours["memory"] / fewer["memory"], 1.2, "times"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw the CPU and the memory of a wait by the number of waits, one line for each way."""
    left, right = figure.subplots(1, 2)
    for way, description in WAYS.items():
        rows = [row for row in data if row["way"] == way]
        counts = [row["count"] for row in rows]
        left.plot(counts, [row["cpu_per_hour"] for row in rows], marker="o", label=description.replace("*", ""))
        right.plot(counts, [row["memory"] / 1024 for row in rows], marker="o")
    left.set(xscale="log", yscale="log", xlabel="waits", ylabel="CPU seconds per wait and hour")
    right.set(xscale="log", yscale="log", xlabel="waits", ylabel="KiB per wait")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
