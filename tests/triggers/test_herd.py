"""Many waits of one triggerer after an outage: they come back as a queue, spread over time, and not as a herd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.transport import aio_io as sessions
from airflow_provider_whiterabbit.emulator import Emulator, Entry, effects
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from dev.harness.airflow_api import until

pytestmark = pytest.mark.alone

WAITS = 200

INTERVAL = 4.0
"""Seconds between two reads; the longest pause between two attempts to open a stream."""

Start = Callable[..., asyncio.Future[list[Any]]]


@pytest.fixture
async def start(whiterabbit_emulator: Emulator) -> AsyncIterator[Start]:
    """Start as many waits as there are."""
    everything: list[asyncio.Task[Any]] = []

    async def wait(poll_interval: float) -> Any:
        execution_id = whiterabbit_emulator.create_execution("SLOW", manual=True)
        trigger = WhiteRabbitExecutionTrigger(execution_id, poll_interval=poll_interval)
        return [event.payload["status"] async for event in trigger.run()]

    def begin(poll_interval: float = 1.0) -> asyncio.Future[list[Any]]:
        everything.extend(asyncio.create_task(wait(poll_interval)) for _ in range(WAITS))
        return asyncio.gather(*everything)

    yield begin
    for task in everything:
        task.cancel()
    await asyncio.wait(everything)


async def arrive(wr: Emulator, count: int, **which: Any) -> list[Entry]:
    return await asyncio.to_thread(wr.wait_for_request, count=count, timeout=60, **which)


def ids(wr: Emulator) -> set[str]:
    """Return the ids of the executions that are waited for."""
    return {entry.path.split("/")[-2] for entry in wr.requests(kind="stream")}


def complete_all(wr: Emulator) -> None:
    for execution_id in ids(wr):
        wr.complete(execution_id, 1)


async def test_no_more_at_once_than_the_bound(whiterabbit_emulator: Emulator, start: Start) -> None:
    """While White Rabbit takes its time, no more requests are on their way than the bound; then all get their turn."""
    wr = whiterabbit_emulator
    hold = wr.fault(effects.Hold(), times=None)
    waits = start()
    await arrive(wr, sessions.AT_ONCE)
    # One more request of somebody else's, to see that everything that was on its way has arrived.
    loop = asyncio.get_running_loop()
    other = loop.run_in_executor(None, lambda: wr.create_execution("OTHER"))
    await other
    assert len(wr.requests()) == sessions.AT_ONCE
    wr.release(hold)
    await arrive(wr, WAITS, kind="stream", answered=True)
    await arrive(wr, WAITS, kind="record", answered=True)
    await asyncio.to_thread(complete_all, wr)
    assert await waits == [["COMPLETED"]] * WAITS


async def test_reconnects_are_spread(whiterabbit_emulator: Emulator, start: Start) -> None:
    """Streams that were all cut at once come back spread over the poll interval."""
    wr = whiterabbit_emulator
    waits = start(poll_interval=INTERVAL)
    await arrive(wr, WAITS, kind="record", answered=True)
    outage = wr.fault(effects.Answer(503), times=None)
    for execution_id in ids(wr):
        wr.close_streams(execution_id)
    # Until the pauses have grown to the interval: 0.5, 1, 2, 4 seconds at the most, after a stream and a record each.
    await asyncio.to_thread(until, lambda: outage.hits >= WAITS * 9, "the pauses to grow", 60)
    wr.clear_faults()
    share = busiest(await opened(wr), INTERVAL / 10)
    print(f"{WAITS} waits came back; in the busiest tenth of the interval {share:.0%} of them")
    assert share < 0.4
    await asyncio.to_thread(complete_all, wr)
    assert await waits == [["COMPLETED"]] * WAITS


async def opened(wr: Emulator) -> list[float]:
    """Return when each of the streams was opened after the outage, in seconds of the monotonic clock."""
    for execution_id in ids(wr):
        await asyncio.to_thread(wr.wait_for_stream, execution_id, timeout=60)
    return [entry.monotonic for entry in wr.requests(kind="stream") if entry.status == 200][WAITS:]


def busiest(moments: list[float], window: float) -> float:
    """Return the largest share of moments that lie within so many seconds."""
    return max(sum(start <= moment <= start + window for moment in moments) for start in moments) / len(moments)


async def test_retry_after_is_honoured(whiterabbit_emulator: Emulator, start: Start) -> None:
    """Nobody who was told when to come again comes before that."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(429, {"message": "slow down"}, {"Retry-After": "1"}), kind="stream", times=WAITS)
    waits = start(poll_interval=0.01)
    await arrive(wr, 2 * WAITS, kind="stream", answered=True)
    streams: dict[str, list[Entry]] = {}
    for entry in wr.requests(kind="stream"):
        streams.setdefault(entry.path, []).append(entry)
    told = [pair for entries in streams.values() for pair in pairwise(entries) if pair[0].status == 429]
    assert len(told) == WAITS
    assert min(second.monotonic - first.monotonic for first, second in told) >= 1
    await asyncio.to_thread(complete_all, wr)
    assert await waits == [["COMPLETED"]] * WAITS
