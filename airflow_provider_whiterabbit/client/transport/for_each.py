"""Does the same work for many ids in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence


async def for_each(ids: Sequence[str], work: Callable[[str], Awaitable[None]], at_once: int) -> None:
    """Do the work for all ids, for so many at the same time; the first error ends it, and is raised."""
    places = asyncio.Semaphore(at_once)

    async def do(execution_id: str) -> None:
        try:
            await work(execution_id)
        finally:
            places.release()

    try:
        async with asyncio.TaskGroup() as group:
            for execution_id in ids:
                await places.acquire()
                group.create_task(do(execution_id))
                await asyncio.sleep(0)  # thousands at once would block the event loop
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
