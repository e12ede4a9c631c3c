"""API calls of a wait that takes an hour: a server counts those of real triggers and sensors, on a simulated clock."""

from __future__ import annotations

import asyncio
import os
import selectors
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks import process
from benchmarks.process import connections, context
from benchmarks.report import Goal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "API calls of one-hour waits"
HOUR = 3600.0
WAITS = 1000
PING = 15.0
"""Seconds between two pings, as White Rabbit documents it."""

WAYS = {
    "deferrable": "ours: a worker defers, the trigger streams, a worker resumes",
    "start": "ours: starts in the triggerer",
    "poll 60": "polling every 60 s (the http provider's trigger)",
    "poll 30": "polling every 30 s",
    "poll 5": "polling every 5 s",
}


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer as soon as nobody has anything to do.

    Sockets are real. What is sent on the loopback has arrived by the time that the loop looks, so that nothing is
    skipped; threads are waited for.
    """

    def __init__(self) -> None:
        self.now = 0.0  # small, so that no timer is lost to rounding
        self._threads = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Return the simulated time."""
        return self.now

    def run_in_executor(self, executor: Any, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        """Run something in a thread, with the clock halted."""
        self._threads += 1
        future = super().run_in_executor(executor, function, *arguments)
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _: Any) -> None:
        self._threads -= 1

    def jump(self, seconds: float | None) -> bool:
        """Let the time pass if nothing else can happen; return whether it did."""
        if seconds is None or self._threads:
            return False
        self.now += seconds
        return True


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        return super().select(0) or (() if self._loop.jump(timeout) else super().select(0.05))


def child(way: str, waits: int) -> dict[str, float]:
    """Let some waits of an hour pass, and return the calls of each."""
    loop, began = SimulatedLoop(), time.time()
    time.time = lambda: began + loop.now  # before anything is imported that takes its time from there
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_count(way, waits))


async def _count(way: str, waits: int) -> dict[str, float]:
    from benchmarks import server

    world, listening = await server.start(PING)
    os.environ.update(connections(server.url_of(listening)))
    ways: dict[str, Callable[[str], Any]] = {"deferrable": _deferrable, "start": _started_in_triggerer}
    wait = ways.get(way) or (lambda identity: _polling(identity, float(way.split()[1])))
    everything = [asyncio.create_task(wait(f"run-{number}")) for number in range(waits)]
    await asyncio.sleep(HOUR)
    world.end()
    await asyncio.gather(*everything)
    return {kind: world.requests[kind] / waits for kind in ("stream", "record", "poll")}


async def _deferrable(identity: str) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    sensor = _sensor(identity, deferrable=True)
    try:
        await asyncio.to_thread(sensor.execute, context())
    except TaskDeferred as deferred:
        await _resumed(sensor, deferred.trigger)


async def _started_in_triggerer(identity: str) -> None:
    sensor = _sensor(identity, start_from_trigger=True)
    await _resumed(sensor, sensor.trigger_class(**sensor.start_trigger_args.trigger_kwargs))


async def _resumed(sensor: Any, trigger: Any) -> None:
    (event,) = [event async for event in trigger.run()]
    await asyncio.to_thread(sensor.execute_complete, context(), event.payload)


def _sensor(identity: str, **arguments: Any) -> Any:
    from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

    return WhiteRabbitExecutionSensor(task_id=identity, execution_id=identity, timeout=2 * HOUR, **arguments)


async def _polling(identity: str, seconds: float) -> None:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    trigger = HttpSensorTrigger(endpoint=f"/poll/{identity}", poke_interval=seconds)
    async for _ in trigger.run():
        pass


def measure(smoke: bool) -> Any:
    """Count."""
    ways = ("deferrable", "poll 60") if smoke else WAYS
    return {way: process.run("benchmarks.calls:child", way=way, waits=2 if smoke else 20) for way in ways}


def table(data: Any) -> list[list[str]]:
    """Return the calls of a thousand waits."""
    ours = sum(data["deferrable"].values())
    rows = [["way", "streams opened", "reads", f"calls of {WAITS:,} waits", "of ours"]]
    for way, calls in data.items():
        total = sum(calls.values())
        reads = calls["record"] + calls["poll"]
        rows.append([WAYS[way], f"{calls['stream']:g}", f"{reads:g}", f"{total * WAITS:,.0f}", f"{total / ours:.1f}"])
    return rows


def goals(data: Any) -> list[Goal]:
    """Return none: the fewer, the better."""
    return []


def plot(data: Any, figure: Figure) -> None:
    """Draw the calls of a wait."""
    axes = figure.subplots()
    axes.barh([WAYS[way] for way in data], [sum(calls.values()) for calls in data.values()])
    axes.set_xscale("log")
    axes.set_xlabel("API calls of one wait of an hour (logarithmic)")
