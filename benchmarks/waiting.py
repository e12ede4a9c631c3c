"""What many waits cost in one process: until all stream, while they are idle, and after the server dropped them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from benchmarks import process
from benchmarks.blocking import WatchedSelector
from benchmarks.process import resident_bytes, socket_count
from benchmarks.readers import STARTS, start_triggers
from benchmarks.server import allow_many_files, get_json, serving
from benchmarks.tls_server import PROTOCOLS, serving_tls

BLOCKS = ("block", "start_block", "collection")

HTTP2 = "ours_http2"
"""The way of this provider over HTTP/2, which needs the library h2. The way `ours` is that over HTTP/1.1."""

START_TIMEOUT = 300.0
"""Seconds within which all waits together must start, and stream again after a drop."""


def measure_once(way: str, count: int, *, tls: bool, seconds: float, ping_interval: float) -> dict[str, float]:
    """Run the server and the waits, each in a process of its own; return what the waits used.

    :param way: one of `waits.WAYS`.
    :param tls: measure connections over TLS instead of plain HTTP.
    :param seconds: how long the waits are idle.
    :param ping_interval: seconds between two pings of a stream.
    :raises RuntimeError: if the way needs HTTP/2, and the library h2 is not installed.
    """
    if way == HTTP2 and "h2" not in PROTOCOLS:
        raise RuntimeError("HTTP/2 can't be measured: the library h2 (extra http2) is not installed")
    with contextlib.ExitStack() as stack:
        if tls:
            served = stack.enter_context(serving_tls(ping_interval))
            url, control, environ = served.url, served.plain_url, served.trust
        else:
            url = control = stack.enter_context(serving(ping_interval))
            environ = {}
        arguments = {"way": way, "count": count, "url": url, "control": control, "seconds": seconds}
        usage: dict[str, float] = process.run(
            "benchmarks.waiting:child", process.connections(url, http2=way == HTTP2) | environ, **arguments
        )
    return usage


def child(way: str, count: int, url: str, control: str, seconds: float) -> dict[str, float]:
    """Run in a child process: keep `count` waits open for `seconds` seconds and return what they used.

    :param control: URL of the server in plain HTTP, which tells how many streams it has and drops them.
    """
    allow_many_files()
    selector = WatchedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        return runner.run(_Waits(selector, way, url, control).measure(count, seconds))


class _Waits:
    """The waits of one way in this process, and the server that they wait for."""

    def __init__(self, selector: WatchedSelector, way: str, url: str, control: str) -> None:
        self._selector = selector
        self._way = way
        self._url = url
        self._control = control
        self._kept_alive: list[object] = []

    async def measure(self, count: int, seconds: float) -> dict[str, float]:
        """Start the waits, let them be idle, and let the server drop them if they come back from that."""
        settle_seconds = min(2, seconds)
        await self._start(["run-warm-up"])  # pays for imports and other one-time work
        await self._all_stream(1)
        await self._settle(settle_seconds)
        memory, sockets = resident_bytes(), socket_count()
        usage: dict[str, float] = {}
        async with self._phase("start", usage):
            await self._start([f"run-{number}" for number in range(count)])
            await self._all_stream(1 + count)
        usage["start_block"], usage["collection"] = self._selector.reset()
        await self._settle(settle_seconds)
        self._selector.include_core_waits()  # subtracting them would add to the measured CPU
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        wall = time.perf_counter() - wall
        usage["cpu_per_hour"] = (time.process_time() - cpu) / wall / count * 3600
        usage["memory"] = (resident_bytes() - memory) / count
        usage["resident"] = resident_bytes()
        usage["sockets"] = socket_count() - sockets
        usage["block"] = self._selector.reset()[0]
        if self._way not in ("http", "threads"):  # the one has no streams, the other does not open them again
            async with self._phase("again", usage):
                await asyncio.to_thread(get_json, self._control, "/outage/0")
                await self._all_stream(1 + count)
        return usage

    async def _start(self, execution_ids: list[str]) -> None:
        start = STARTS.get(self._way, start_triggers)
        self._kept_alive.append(await start(self._way, self._url, execution_ids))

    @contextlib.asynccontextmanager
    async def _phase(self, name: str, usage: dict[str, float]) -> AsyncIterator[None]:
        """Add to `usage` what a block uses: seconds, CPU, memory at the peak, and the server's handshakes."""
        before = await self._counts()
        self._selector.reset()
        with process.peak_over_baseline() as used:
            yield
        after = await self._counts()
        usage |= {f"{name}_{kind}": used[kind] for kind in ("seconds", "cpu", "peak")}
        for kind in ("handshakes", "resumed"):
            usage[f"{name}_{kind}"] = after.get(kind, 0) - before.get(kind, 0)

    async def _all_stream(self, count: int) -> None:
        """Wait until the server has so many streams, or as many polls from waits that poll."""
        deadline = time.monotonic() + START_TIMEOUT
        kind = "poll" if self._way == "http" else "streams"
        while (started := (await self._counts()).get(kind, 0)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {started} of {count} waits started in {START_TIMEOUT:g} s")
            await asyncio.sleep(0.2)

    async def _settle(self, seconds: float) -> None:
        """Wait until no request has arrived for so long: some waits read their record after all streams are open."""
        before = None
        while (counts := await self._counts()) != before:
            before = counts
            await asyncio.sleep(seconds)
            if self._way == "http":  # it polls without end
                return

    async def _counts(self) -> Any:
        return await asyncio.to_thread(get_json, self._control, "/counts")
