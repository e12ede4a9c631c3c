"""Waits per triggerer: many idle executions in one process, by the provider's trigger and by other means."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks import process
from benchmarks.process import WatchedSelector, resident
from benchmarks.readers import STARTS, start_triggers
from benchmarks.report import Goal
from benchmarks.server import allow_many_files, ask, serving

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Waits per triggerer"
COUNTS = (100, 1000, 5000)
PING = 1.0
"""Seconds between two pings of a stream, of which White Rabbit sends one every 15: harder than life."""

WAYS = {
    "bare": "bare asyncio reader, no Airflow (the limit)",
    "triggerer": "the same as a trigger in the triggerer",
    "aiohttp": "a trigger that reads the stream with aiohttp",
    "ours": "**this provider's trigger**",
    "http": "http provider's sensor trigger, polling every 5 s",
    "threads": "sseclient-py over requests, a thread each",
}

MOST_THREADS = 1000
"""Of 5,000 threads, 3,200 were reading after three minutes in which they kept both cores busy."""

COMPARED = ("bare", "aiohttp", "ours")
ROUNDS = 3
"""How often these are measured with the most waits: the CPU of one run is up to a quarter off that of the next."""

BLOCKS = ("block", "start_block", "collection")

PATIENCE = 120.0
"""Seconds that all waits together may take to begin."""


def child(way: str, count: int, url: str, seconds: float) -> dict[str, float]:
    """Wait for so many executions, and return what it took."""
    allow_many_files()
    selector = WatchedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        return runner.run(_wait(selector, way, count, url, seconds))


async def _wait(selector: WatchedSelector, way: str, count: int, url: str, seconds: float) -> dict[str, float]:
    start = STARTS.get(way, start_triggers)
    kept = [await start(way, url, ["run-warm-up"])]  # imports, and whatever else is done once
    await _begun(way, url, 1, min(1, seconds))
    memory = resident()
    selector.reset()
    cpu = time.process_time()
    kept.append(await start(way, url, [f"run-{number}" for number in range(count)]))
    await _begun(way, url, 1 + count, min(1, seconds))
    start_block, start_collection = selector.reset()
    used = {"start_cpu": time.process_time() - cpu, "start_block": start_block, "collection": start_collection}
    selector.count_delays_in()  # what would leave them out would be measured, too
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    wall = time.perf_counter() - wall
    used |= {"cpu_per_hour": (time.process_time() - cpu) / wall / count * 3600, "memory": (resident() - memory) / count}
    return used | {"block": selector.reset()[0]}


async def _begun(way: str, url: str, count: int, settling: float) -> None:
    """Wait until so many waits have begun, and some seconds more."""
    deadline = time.monotonic() + PATIENCE
    while (found := await _counted(way, url)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{count} waits did not begin in {PATIENCE:g} s, only {found}")
        await asyncio.sleep(0.2)
    await asyncio.sleep(settling)


async def _counted(way: str, url: str) -> int:
    counts = await asyncio.to_thread(ask, url, "/counts")
    return int(counts.get("poll", 0) if way == "http" else counts["streams"])


def measure(smoke: bool) -> Any:
    """Measure every way with every number of waits; what the goals compare several times, in turns."""
    rows = []
    for count in (10,) if smoke else COUNTS:
        found = {way: [_once(way, count, smoke)] for way in WAYS if way != "threads" or count <= MOST_THREADS}
        for _ in range(1, ROUNDS if count == max(COUNTS) else 1):
            for way in COMPARED:
                found[way].append(_once(way, count, smoke))
        rows += [{"way": way, "count": count} | _typical(rounds) for way, rounds in found.items()]
    return rows


def _once(way: str, count: int, smoke: bool) -> dict[str, float]:
    with serving(PING) as url:
        arguments = {"way": way, "count": count, "url": url, "seconds": 0.5 if smoke else 15}
        found: dict[str, float] = process.run("benchmarks.waits:child", process.connections(url), **arguments)
    return found


def _typical(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of what was used, and the longest of what blocked the loop."""
    used = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    return used | {name: max(found[name] for found in rounds) for name in BLOCKS}


def table(data: Any) -> list[list[str]]:
    """Return what a wait costs."""
    head = ["way", "waits", "CPU s per wait and hour", "of bare", "KiB per wait", "longest block, ms"]
    rows = [[*head, "at the start, ms", "CPU of a start, ms"]]
    for found in data:
        bare = _of(data, "bare", found["count"])
        in_loop = found["way"] != "threads"
        rows.append(
            [
                WAYS[found["way"]],
                f"{found['count']:,}",
                f"{found['cpu_per_hour']:.3f}",
                f"{found['cpu_per_hour'] / bare['cpu_per_hour']:.2f}",
                f"{found['memory'] / 1024:.1f}",
                *(f"{found[block] * 1000:.0f}" if in_loop else "" for block in ("block", "start_block")),
                f"{found['start_cpu'] / found['count'] * 1000:.2f}",
            ]
        )
    return rows


def _of(data: Any, way: str, count: int) -> Any:
    return next(found for found in data if (found["way"], found["count"]) == (way, count))


def goals(data: Any) -> list[Goal]:
    """Return the goals of the most waits, and of the growth up to them. The floor is that of a trigger with aiohttp."""
    *_, middle, most = sorted({found["count"] for found in data})
    ours, floor, bare, fewer = (
        _of(data, way, count) for way, count in (("ours", most), ("aiohttp", most), ("bare", most), ("ours", middle))
    )
    cpu, blocks = bare["cpu_per_hour"], [found for found in data if found["way"] == "ours"]
    growth = f"of a wait among {most:,} over one among {middle:,}"
    return [
        Goal("CPU over the bare reader's", ours["cpu_per_hour"] / cpu, 2.0, "times", floor["cpu_per_hour"] / cpu),
        Goal("memory of a wait", ours["memory"] / 1024, 25, "KiB", floor["memory"] / 1024),
        Goal("longest block while they wait", max(found["block"] for found in blocks) * 1000, 50, "ms"),
        Goal(
            "longest block while they are started",
            max(found["start_block"] for found in blocks) * 1000,
            50,
            "ms",
            floor["start_block"] * 1000,
        ),
        Goal(f"CPU {growth}", ours["cpu_per_hour"] / fewer["cpu_per_hour"], 1.2, "times"),
        Goal(f"memory {growth}", ours["memory"] / fewer["memory"], 1.2, "times"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw CPU and memory by the number of waits."""
    left, right = figure.subplots(1, 2)
    for way, title in WAYS.items():
        found = [one for one in data if one["way"] == way]
        counts = [one["count"] for one in found]
        left.plot(counts, [one["cpu_per_hour"] for one in found], marker="o", label=title.replace("*", ""))
        right.plot(counts, [one["memory"] / 1024 for one in found], marker="o")
    left.set(xscale="log", yscale="log", xlabel="waits", ylabel="CPU seconds per wait and hour")
    right.set(xscale="log", yscale="log", xlabel="waits", ylabel="KiB per wait")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
