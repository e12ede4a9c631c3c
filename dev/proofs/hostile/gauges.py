"""What a cell costs its process: blocks of the event loop, memory, and the tasks and sockets that it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

_TICK = 0.005
_PATIENCE = 2.0
"""Seconds in which tasks and sockets that are being closed may go away."""

_MIB = 1024 * 1024
_ROOM = 1536 * _MIB
"""How many bytes a cell may allocate before `MemoryError` protects the machine."""


class LoopGauge:
    """Measures for how long an event loop runs nothing else.

    The time for which the system lets other processes run instead does not count: the machine may be busy.
    """

    longest = 0.0
    """The longest block in seconds."""

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Measure the running event loop."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _watch(self) -> None:
        while True:
            begun, waited = time.monotonic(), _seconds_waited()
            await asyncio.sleep(_TICK)
            late = time.monotonic() - begun - _TICK - (_seconds_waited() - waited)
            self.longest = max(self.longest, late)


def _seconds_waited() -> float:
    """Return how long the threads of this process have waited for a processor (Linux, *Scheduler Statistics*).

    All of them count, since the event loop waits for a thread that has Python's lock.
    """
    waited = 0
    for statistics in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has ended
            waited += int(statistics.read_text().split()[1])
    return waited / 1e9


def limit_memory() -> None:
    """Let this process allocate no more than `_ROOM` bytes from now on."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + _ROOM
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def memory() -> float:
    """Return the memory that this process has now, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / _MIB


def peak_memory() -> float:
    """Return the largest memory that this process has had, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def descriptors() -> set[str]:
    """Return the open file descriptors of this process, with what they are open for."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the folder's own descriptor is closed by now
            found.add(f"{link.name} {link.readlink()}")
    return found


async def leaks(before: set[str]) -> list[str]:
    """Return the tasks and the descriptors that a cell has left in the running event loop.

    :param before: the descriptors before the cell.
    """
    own = asyncio.current_task()
    give_up = time.monotonic() + _PATIENCE
    while True:
        tasks = [f"task {task.get_coro()}" for task in asyncio.all_tasks() if task is not own]
        left = tasks + sorted(descriptors() - before)
        if not left or time.monotonic() > give_up:
            return left
        await asyncio.sleep(_TICK)
