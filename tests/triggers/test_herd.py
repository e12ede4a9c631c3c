"""Many waits of one triggerer do not send all their requests at once, not even after an outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.transport.limits import REQUESTS_AT_ONCE
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator, Entry, effects
from dev.harness.polling import until
from tests.triggers.runs import FAST_POLLING, execution_trigger, payloads_of

pytestmark = pytest.mark.alone

WAITS = 200
"""How many waits run at the same time."""

INTERVAL = 4.0
"""Seconds; the longest pause between two attempts to open a stream."""

Start = Callable[..., asyncio.Future[list[Any]]]


@pytest.fixture
async def start(whiterabbit_emulator: Emulator) -> AsyncIterator[Start]:
    """Return a function that starts all waits and returns the future of their statuses."""
    tasks: list[asyncio.Task[Any]] = []

    async def wait(poll_interval: float, timing: Timing) -> Any:
        execution_id = whiterabbit_emulator.create_execution("SLOW", manual=True)
        payloads = await payloads_of(execution_trigger(execution_id, poll_interval=poll_interval), timing)
        return [payload["status"] for payload in payloads]

    def begin(poll_interval: float = 1.0, timing: Timing = FAST_POLLING) -> asyncio.Future[list[Any]]:
        tasks.extend(asyncio.create_task(wait(poll_interval, timing)) for _ in range(WAITS))
        return asyncio.gather(*tasks)

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def arrive(wr: Emulator, count: int, **filters: Any) -> list[Entry]:
    """Wait until so many requests have arrived, and return them."""
    return await asyncio.to_thread(wr.wait_for_request, count=count, timeout=60, **filters)


def ids(wr: Emulator) -> set[str]:
    """Return the ids of the executions whose streams were asked for."""
    return {entry.path.split("/")[-2] for entry in wr.requests(kind="stream")}


def complete_all(wr: Emulator) -> None:
    """Complete all executions whose streams were asked for."""
    for execution_id in ids(wr):
        wr.complete(execution_id, 1)


async def test_concurrent_requests(whiterabbit_emulator: Emulator, start: Start) -> None:
    """While White Rabbit answers no request for a record, `REQUESTS_AT_ONCE` are sent, and all streams are opened."""
    wr = whiterabbit_emulator
    hold = wr.fault(effects.Hold(), kind="record", times=None)
    waits = start()
    await arrive(wr, WAITS, kind="stream", answered=True)
    # The emulator handles this call after all requests that have arrived.
    await asyncio.to_thread(wr.create_execution, "OTHER")
    assert len(wr.requests(kind="record")) == REQUESTS_AT_ONCE
    wr.release(hold)
    await arrive(wr, WAITS, kind="record", answered=True)
    await asyncio.to_thread(complete_all, wr)
    assert await waits == [["COMPLETED"]] * WAITS


async def test_late_heads(whiterabbit_emulator: Emulator, start: Start) -> None:
    """All streams are asked for although the server sends the head of none of them."""
    wr = whiterabbit_emulator
    hold = wr.fault(effects.Hold(), kind="stream", times=None)
    waits = start(timing=Timing(late_head=0.1))
    await arrive(wr, WAITS, kind="stream")
    await asyncio.to_thread(complete_all, wr)
    wr.release(hold)
    assert await waits == [["COMPLETED"]] * WAITS


@pytest.mark.long
async def test_reconnects_are_spread(whiterabbit_emulator: Emulator, start: Start) -> None:
    """Streams that were all closed at once are opened again at times that are spread over the poll interval."""
    wr = whiterabbit_emulator
    waits = start(poll_interval=INTERVAL)
    await arrive(wr, WAITS, kind="record", answered=True)
    outage = wr.fault(effects.Answer(503), times=None)
    for execution_id in ids(wr):
        wr.close_streams(execution_id)
    # By then the pauses have grown to the interval: at most 0.5, 1, 2 and 4 seconds, each after a stream and a record.
    await asyncio.to_thread(until, lambda: outage.hits >= WAITS * 9, "the pauses to grow", 60)
    wr.clear_faults()
    share = busiest(await opened(wr), INTERVAL / 10)
    print(f"{share:.0%} of {WAITS} streams were opened in the busiest tenth of the interval")
    assert share < 0.4
    await asyncio.to_thread(complete_all, wr)
    assert await waits == [["COMPLETED"]] * WAITS


async def opened(wr: Emulator) -> list[float]:
    """Return when each stream was opened after the outage, in seconds of the monotonic clock."""
    for execution_id in ids(wr):
        await asyncio.to_thread(wr.wait_for_stream, execution_id, timeout=60)
    return [entry.monotonic for entry in wr.requests(kind="stream") if entry.status == 200][WAITS:]


def busiest(moments: list[float], window: float) -> float:
    """Return the largest share of the moments that lies within `window` seconds."""
    return max(sum(start <= moment <= start + window for moment in moments) for start in moments) / len(moments)


async def test_retry_after_is_honoured(whiterabbit_emulator: Emulator, start: Start) -> None:
    """No trigger asks for a stream again before the ``Retry-After`` of the last answer is over."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(429, {"message": "slow down"}, {"Retry-After": "1"}), kind="stream", times=WAITS)
    waits = start(poll_interval=0.01)
    await arrive(wr, 2 * WAITS, kind="stream", answered=True)
    streams: dict[str, list[Entry]] = {}
    for entry in wr.requests(kind="stream"):
        streams.setdefault(entry.path, []).append(entry)
    retries = [pair for entries in streams.values() for pair in pairwise(entries) if pair[0].status == 429]
    assert len(retries) == WAITS
    assert min(second.monotonic - first.monotonic for first, second in retries) >= 1
    await asyncio.to_thread(complete_all, wr)
    assert await waits == [["COMPLETED"]] * WAITS
