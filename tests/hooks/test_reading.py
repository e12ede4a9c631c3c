"""Triggers that start together read their connection together."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace

import pytest

from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.compat import BaseHook
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError
from airflow_provider_whiterabbit.hooks.reading import READ_INTERVAL, read_connection, read_together
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook


class Gate:
    """Holds each read of a connection until `opened` is set, and counts the reads."""

    def __init__(self) -> None:
        self.reads = 0
        self.opened = asyncio.Event()

    async def read(self, hook: BaseHook, connection_id: str) -> ClientSettings:
        """Read a connection once the gate is open."""
        self.reads += 1
        await self.opened.wait()
        return await read_connection(hook, connection_id)

    def start_read(self, connection_id: str = WhiteRabbitHook.default_conn_name) -> asyncio.Task[ClientSettings]:
        """Start a task that reads a connection together with the others."""
        return asyncio.create_task(read_together(WhiteRabbitHook(connection_id), connection_id, self.read))


@pytest.fixture
async def gate(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Return a gate in front of two real connections: the default one, and ``other``."""
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", value)
    return Gate()


async def test_a_changed_connection(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that changed gives new settings, although earlier ones are in use; the next readers share those."""
    gate.opened.set()
    before = await gate.start_read()
    connection = json.loads(os.environ["AIRFLOW_CONN_OTHER"])
    connection["extra"]["request_timeout"] = 7
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
    after = await gate.start_read()
    assert after == replace(before, request_timeout=7)
    assert await gate.start_read() is after


async def test_one_read(gate: Gate) -> None:
    """Callers during a read share its result; later callers and other connections have reads of their own."""
    callers = [gate.start_read() for _ in range(100)]
    other = gate.start_read("other")
    await asyncio.sleep(0)
    gate.opened.set()
    settings = await asyncio.gather(*callers)
    assert settings == [settings[0]] * 100
    assert await other == replace(settings[0], connection_id="other")
    assert gate.reads == 2
    assert await gate.start_read() is settings[0]  # thousands of waits keep them once
    assert gate.reads == 3


async def test_failure(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a read fails, all its callers get the error, and the next caller reads again."""
    gate.opened.set()
    with monkeypatch.context() as changed:
        changed.setenv("AIRFLOW_CONN_OTHER", '{"conn_type": "whiterabbit"}')
        errors = await asyncio.gather(*(gate.start_read("other") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in errors] == [WhiteRabbitConfigError] * 3
    assert gate.reads == 1
    assert (await gate.start_read("other")).api_key


async def test_a_read_that_hangs(gate: Gate) -> None:
    """A read that hangs fails those who share it; the next one reads anew."""

    def start_read(longest: float) -> asyncio.Task[ClientSettings]:
        return asyncio.create_task(read_together(WhiteRabbitHook("other"), "other", gate.read, longest))

    hanging = [start_read(0.1) for _ in range(3)]
    for reading in hanging:
        with pytest.raises(TimeoutError, match=r"it was not read within 0\.1 s"):
            await reading
    gate.opened.set()
    await start_read(60)
    assert gate.reads == 2


async def test_the_first_caller_is_cancelled(gate: Gate) -> None:
    """If the first caller is cancelled, the others still get the result of its read."""
    first, second = gate.start_read(), gate.start_read()
    await asyncio.sleep(0)
    first.cancel()
    gate.opened.set()
    assert (await second).api_key
    assert gate.reads == 1


async def test_one_after_the_other(gate: Gate) -> None:
    """Callers that come one after the other, each when the read before is over, share few reads."""
    gate.opened.set()
    settings = await gate.start_read()
    loop = asyncio.get_running_loop()
    began, callers = loop.time(), []

    async def read(hook: BaseHook, connection_id: str) -> ClientSettings:
        gate.reads += 1
        return settings

    for _ in range(100):
        callers.append(asyncio.create_task(read_together(WhiteRabbitHook("other"), "other", read)))
        for _ in range(10):  # more turns of the loop than a read takes
            await asyncio.sleep(0)
    await asyncio.gather(*callers)
    assert gate.reads <= 3 + (loop.time() - began) / READ_INTERVAL
