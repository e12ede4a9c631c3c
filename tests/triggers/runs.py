"""Run triggers to their end, and check that they neither block the event loop nor leave a session open."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.transport.sharing import join, leave
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers.base import WhiteRabbitTrigger
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from dev.harness.polling import until

UNKNOWN = "00000000-0000-0000-0000-000000000000"

LONGEST_BLOCK = 0.05
"""Seconds for which one piece of work may block the event loop. They are seconds of the thread's CPU time, which other
processes do not disturb."""

FAST_POLLING = Timing(min_poll_interval=0.01, progress_interval=0.0, final_read=60)
"""Allows tests to poll more often than once a second, and to see all progress in the log. The last read of a record may
take long, so that a busy machine does not change what is known at a deadline."""


@contextlib.asynccontextmanager
async def never_blocked() -> AsyncIterator[None]:
    """Fail if something blocks the event loop for longer than `LONGEST_BLOCK`."""
    longest_block = 0.0

    async def measure_blocks() -> None:
        nonlocal longest_block
        while True:
            started = time.thread_time()
            await asyncio.sleep(0.001)
            longest_block = max(longest_block, time.thread_time() - started)

    gc.disable()  # the pauses of the garbage collector grow with the objects of the whole test session
    measuring = asyncio.create_task(measure_blocks())
    try:
        yield
    finally:
        measuring.cancel()
        gc.enable()
    assert longest_block < LONGEST_BLOCK, f"the event loop was blocked for {longest_block * 1000:.0f} ms"


async def logged(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Wait until the log holds a text."""
    await asyncio.to_thread(until, lambda: text in caplog.text, f"{text!r} in the log", 60.0, 0.01)


async def payloads_of(trigger: WhiteRabbitTrigger, timing: Timing = FAST_POLLING) -> list[Any]:
    """Run a trigger to its end, and return the payloads of its events."""
    trigger.hook.timing = timing
    return [event.payload async for event in trigger.run()]


async def only_payload_of(trigger: WhiteRabbitTrigger, timing: Timing = FAST_POLLING) -> dict[str, Any]:
    """Run a trigger to its end, and return the payload of its only event; check that it leaves no session open."""
    (payload,) = await payloads_of(trigger, timing)
    assert await session_users() == 0
    return dict(payload)


async def end_of(execution_id: str, timing: Timing = FAST_POLLING, **arguments: Any) -> dict[str, Any]:
    """Run a trigger for an execution to its end, and return the payload of its only event.

    Fail if the trigger blocks the event loop or leaves a session open.
    """
    async with never_blocked():
        (payload,) = await payloads_of(execution_trigger(execution_id, **arguments), timing)
    assert await session_users() == 0
    return dict(payload)


def execution_trigger(execution_id: str, **arguments: Any) -> WhiteRabbitExecutionTrigger:
    """Return a trigger for an execution that polls often."""
    return WhiteRabbitExecutionTrigger(execution_id, **{"poll_interval": 0.05, **arguments})


def completed(execution_id: str) -> dict[str, Any]:
    """Return the payload of the event for a completed execution."""
    return {"execution_id": execution_id, "status": "COMPLETED", "message": None}


async def session_users() -> int:
    """Return how many clients use the session of the default connection in this event loop."""
    shared = join((await WhiteRabbitHook().get_async_client()).settings)
    try:
        return shared.users - 1
    finally:
        await leave(shared)
