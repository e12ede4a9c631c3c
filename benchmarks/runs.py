"""Progress of large workflow runs: CPU time and blocks of the loop while a stream sends events without a pause."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks import process
from benchmarks.blocking import WatchedSelector
from benchmarks.report import Goal
from benchmarks.server import HEAD
from benchmarks.world import TIME

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Progress of large runs"
RUN = "run-1"
STREAM = f"/v1/sdk/workflows/executions/{RUN}/stream"
SIZES = ((4, 40_000), (4_000, 400))
"""Stages that are not yet terminal, and events."""

WAYS = {
    "read": "aiohttp, only reads the bytes (floor)",
    "parse": "aiohttp and `json.loads`, parses every event",
    "ours": "**this provider's client**",
}


def event(stages: int, number: int, status: str = "EXECUTING") -> bytes:
    """Return an event of the stream, as a chunk of the body; its number makes each event another one."""
    open_stages = [
        {"id": f"s-{stage}", "module": "WAIT", "status": "RUNNING", "executionEventId": None, "executionAttempt": 1}
        for stage in range(stages)
    ]
    output = {
        "totalUsage": number,
        "pendingStageCount": stages,
        "failedStageCount": 0,
        "nonTerminalStages": open_stages,
    }
    data = json.dumps({"id": RUN, "status": status, "output": output, "timestamp": TIME}, separators=(",", ":"))
    return f"{len(data) + 8:x}\r\ndata: {data}\n\n\r\n".encode()


@contextlib.contextmanager
def serving(stages: int, events: int) -> Iterator[str]:
    """Run a server, in a thread, whose run has so many open stages and sends so many events; yield the URL."""
    body = [event(stages, number) for number in range(min(events, 100))]
    run_stages = [{"id": f"s-{stage}", "module": "WAIT", "status": "RUNNING"} for stage in range(stages)]
    record = {"id": RUN, "status": "EXECUTING", "createdAt": TIME, "updatedAt": TIME, "runStages": run_stages}
    text = json.dumps(record).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while b"/stream " not in (await reader.readuntil(b"\r\n\r\n")):
                writer.write(head + text)
            writer.write(HEAD)
            for number in range(events):
                writer.write(body[number % len(body)])
                await writer.drain()
            writer.write(event(0, events, "COMPLETED") + b"0\r\n\r\n")
        writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def child(way: str, url: str) -> dict[str, float]:
    """Run in a child process: read the stream of a run in one way; return the CPU seconds and the longest block."""
    selector = WatchedSelector()
    read = {"read": _read, "parse": _parse, "ours": _follow}[way]
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(_warm_up())
        selector.reset()
        cpu = time.process_time()
        runner.run(read(url))
        return {"cpu": time.process_time() - cpu, "block": selector.reset()[0]}


async def _warm_up() -> None:
    """Pay for imports and for the thread that aiohttp resolves names in."""
    import airflow_provider_whiterabbit.client.transport.aio  # noqa: F401


async def _read(url: str) -> None:
    async for _ in _chunks(url):
        pass


async def _parse(url: str) -> None:
    buffer = b""
    async for chunk in _chunks(url):
        *events, buffer = (buffer + chunk).split(b"\n\n")
        for found in events:
            json.loads(found.removeprefix(b"data: "))


async def _chunks(url: str) -> Any:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(url + STREAM, timeout=None) as response:
        async for chunk in response.content.iter_any():
            yield chunk


async def _follow(url: str) -> None:
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
    from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
    from airflow_provider_whiterabbit.client.wait.target import WORKFLOW_RUN

    settings = ClientSettings(url, "ws_benchmark", process.new_secret())
    async with AsyncClient(settings) as client:
        ended = await client.wait(WORKFLOW_RUN.followed(RUN))
    if not ended.is_terminal:
        raise RuntimeError("the run has not ended")


def measure(smoke: bool) -> Any:
    """Measure each way with each size of run."""
    rows = []
    for stages, events in ((4, 400),) if smoke else SIZES:
        for way in WAYS:
            with serving(stages, events) as url:
                usage = process.run("benchmarks.runs:child", way=way, url=url)
            rows.append({"way": way, "stages": stages, "events": events} | usage)
    return rows


def _cost(data: Any, way: str, stages: int) -> Any:
    return next(row for row in data if (row["way"], row["stages"]) == (way, stages))["cpu"]


def table(data: Any) -> list[list[str]]:
    """Return the CPU per event and the longest block of each way."""
    rows = [["way", "open stages", "events", "CPU per event, µs", "CPU / floor", "longest block, ms"]]
    for row in data:
        cells = (
            f"{row['stages']:,}",
            f"{row['events']:,}",
            f"{row['cpu'] / row['events'] * 1e6:,.0f}",
            f"{row['cpu'] / _cost(data, 'read', row['stages']):.1f}",
            f"{row['block'] * 1000:.0f}",
        )
        rows.append([WAYS[row["way"]], *cells])
    return rows


def goals(data: Any) -> list[Goal]:
    """Return the goals of the run with the most stages, and of the longest block."""
    stages = data[-1]["stages"]
    ratio = _cost(data, "ours", stages) / _cost(data, "parse", stages)
    block = max(row["block"] for row in data if row["way"] == "ours")
    return [
        Goal(f"CPU of a run with {stages:,} stages / parsing every event", ratio, 0.5, "times"),
        Goal("longest block", block * 1000, 50, "ms"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw the CPU per event, one group of bars for each size."""
    axes = figure.subplots()
    for position, way in enumerate(WAYS):
        rows = [row for row in data if row["way"] == way]
        places = [group + position * 0.25 for group in range(len(rows))]
        axes.bar(places, [row["cpu"] / row["events"] * 1e6 for row in rows], 0.25, label=WAYS[way].strip("*"))
    sizes = [(row["stages"], row["events"]) for row in data if row["way"] == "ours"]
    axes.set_xticks([group + 0.25 for group in range(len(sizes))], [f"{stages:,} open stages" for stages, _ in sizes])
    axes.set(yscale="log", ylabel="CPU per event, µs")
    axes.legend()
