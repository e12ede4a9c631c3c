"""API calls of a one-hour wait: a server counts the requests of real triggers and sensors on a simulated clock."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks import process
from benchmarks.process import connections, task_context
from benchmarks.report import Goal
from dev.harness.simulated_loop import SimulatedLoop

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "API calls of one-hour waits"
HOUR = 3600.0
WAITS = 1000
PING_INTERVAL = 15.0
"""Seconds between two pings of a stream, as White Rabbit documents it."""

WAYS = {
    "deferrable": "this provider: starts in a worker, ends in a worker",
    "start": "this provider: starts in the triggerer, ends in a worker",
    "poll 60": "polling every 60 s (the http provider's trigger)",
    "poll 30": "polling every 30 s",
    "poll 5": "polling every 5 s",
}


def child(way: str, waits: int) -> dict[str, float]:
    """Run in a child process: simulate one-hour waits and return the number of calls per wait, by kind of request."""
    loop, start_time = SimulatedLoop(), time.time()
    # Replaced before the modules that call it are imported.
    time.time = lambda: start_time + loop.now
    time.clock_gettime = lambda clock: loop.now
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_count_calls(way, waits))


async def _count_calls(way: str, waits: int) -> dict[str, float]:
    from benchmarks import server

    world, listening_server = await server.start(PING_INTERVAL)
    os.environ.update(connections(server.url_of(listening_server)))
    ways: dict[str, Callable[[str], Any]] = {"deferrable": _wait_deferred, "start": _wait_from_triggerer}
    wait = ways.get(way) or (lambda execution_id: _wait_polling(execution_id, float(way.split()[1])))
    tasks = [asyncio.create_task(wait(f"run-{number}")) for number in range(waits)]
    await asyncio.sleep(HOUR)
    world.end()
    await asyncio.gather(*tasks)
    return {kind: world.requests[kind] / waits for kind in ("stream", "record", "poll")}


async def _wait_deferred(execution_id: str) -> None:
    from airflow_provider_whiterabbit.compat import TaskDeferred

    sensor = _new_sensor(execution_id, deferrable=True)
    try:
        await asyncio.to_thread(sensor.execute, task_context())
    except TaskDeferred as deferral:
        await _resume_after(deferral.trigger, sensor)


async def _wait_from_triggerer(execution_id: str) -> None:
    sensor = _new_sensor(execution_id, start_from_trigger=True)
    await _resume_after(sensor.trigger_class(**sensor.start_trigger_args.trigger_kwargs), sensor)


async def _resume_after(trigger: Any, sensor: Any) -> None:
    (event,) = [event async for event in trigger.run()]
    await asyncio.to_thread(sensor.execute_complete, task_context(), event.payload)


def _new_sensor(execution_id: str, **arguments: Any) -> Any:
    from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

    return WhiteRabbitExecutionSensor(task_id=execution_id, execution_id=execution_id, timeout=2 * HOUR, **arguments)


async def _wait_polling(execution_id: str, interval: float) -> None:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    trigger = HttpSensorTrigger(endpoint=f"/poll/{execution_id}", poke_interval=interval)
    async for _ in trigger.run():
        pass


def measure(smoke: bool) -> Any:
    """Count the calls of each way."""
    ways = ("deferrable", "poll 60") if smoke else WAYS
    return {way: process.run("benchmarks.calls:child", way=way, waits=2 if smoke else 20) for way in ways}


def table(data: Any) -> list[list[str]]:
    """Return the number of calls of each way, for one wait and for a thousand waits."""
    own_total = sum(data["deferrable"].values())
    rows = [["way", "streams opened", "reads", f"calls for {WAITS:,} waits", "calls / calls of the first way"]]
    for way, calls in data.items():
        total = sum(calls.values())
        reads = calls["record"] + calls["poll"]
        counts = [f"{calls['stream']:g}", f"{reads:g}", f"{total * WAITS:,.0f}"]
        rows.append([WAYS[way], *counts, f"{total / own_total:.1f}"])
    return rows


def goals(data: Any) -> list[Goal]:
    """Return no goal: this benchmark only compares the ways."""
    return []


def plot(data: Any, figure: Figure) -> None:
    """Draw the number of calls of each way."""
    axes = figure.subplots()
    axes.barh([WAYS[way] for way in data], [sum(calls.values()) for calls in data.values()])
    axes.set_xscale("log")
    axes.set_xlabel("API calls of a one-hour wait (logarithmic)")
