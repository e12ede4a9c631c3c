"""A wait over TLS keeps little memory: asyncio alone would keep a read buffer of 256 KiB for each."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Coroutine
from typing import Any

import pytest

from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from benchmarks import process
from benchmarks.readers import read_bare
from benchmarks.server import allow_many_files, get_json
from benchmarks.tls_server import PROTOCOLS, serving_tls
from tests.triggers.runs import payloads_of

WAITS = 100

GOALS = {"http/1.1": 100 * 1024, "h2": 28 * 1024}
"""Bytes of a wait over TLS by protocol, Airflow's own trigger included, which this test does not run."""


def measure(url: str, control: str) -> dict[str, float]:
    """Run in a child process: keep bare readers and waits open, and return how many bytes one of each keeps."""
    allow_many_files()
    return asyncio.run(_measure(url, control))


async def _measure(url: str, control: str) -> dict[str, float]:
    tasks: list[asyncio.Task[object]] = []

    async def memory_with(*coroutines: Coroutine[Any, Any, object]) -> int:
        tasks.extend(asyncio.create_task(coroutine) for coroutine in coroutines)
        while (await asyncio.to_thread(get_json, control, "/counts"))["streams"] < len(tasks):
            if ended := [task for task in tasks if task.done()]:
                ended[0].result()
                raise AssertionError("a wait ended")
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        ctypes.CDLL(None).malloc_trim(0)  # what is free is not kept, even if the C library has not returned it yet
        return process.resident_bytes()

    def waits(name: str, count: int) -> list[Coroutine[Any, Any, object]]:
        return [payloads_of(WhiteRabbitExecutionTrigger(f"run-{name}-{number}")) for number in range(count)]

    def readers(name: str, count: int) -> list[Coroutine[Any, Any, object]]:
        return [read_bare(url, f"run-{name}-{number}") for number in range(count)]

    before = await memory_with(*waits("first", 5), *readers("first", 5))  # pays for imports and other one-time work
    with_readers = await memory_with(*readers("bare", WAITS))
    with_waits = await memory_with(*waits("wait", WAITS))
    handshakes = (await asyncio.to_thread(get_json, control, "/counts"))["handshakes"] - (WAITS + 5)
    kept = {"bare": (with_readers - before) / WAITS, "wait": (with_waits - with_readers) / WAITS}
    return kept | {"connections": handshakes}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_memory_of_a_wait(protocol: str) -> None:
    """A wait keeps at most 1.5 times the goal, and less than half of what a bare asyncio reader keeps beside it."""
    with serving_tls() as served:
        environ = process.connections(served.url, http2=protocol == "h2") | served.trust
        kept = process.run("tests.triggers.test_tls_memory:measure", environ, url=served.url, control=served.plain_url)
    connections = kept.pop("connections")
    print({way: f"{bytes_kept / 1024:.0f} KiB" for way, bytes_kept in kept.items()}, connections, "connections")
    assert (connections < WAITS) is (protocol == "h2")
    assert kept["wait"] <= 1.5 * GOALS[protocol]
    assert kept["wait"] < kept["bare"] / 2
