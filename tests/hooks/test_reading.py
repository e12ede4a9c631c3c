"""Triggers that start together read their connection together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError
from airflow_provider_whiterabbit.hooks import reading
from airflow_provider_whiterabbit.hooks.reading import read_together
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook


class Gate:
    """Holds every reading until it is opened, and counts them."""

    def __init__(self, read: Any) -> None:
        self._read = read
        self.times = 0
        self.may = asyncio.Event()

    async def read(self, hook: WhiteRabbitHook) -> Any:
        self.times += 1
        await self.may.wait()
        return await self._read(hook)


@pytest.fixture
async def gate(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Let hooks read a real connection, through a gate."""
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", value)
    gate = Gate(reading._read)
    monkeypatch.setattr(reading, "_read", gate.read)
    return gate


def ask(conn_id: str = WhiteRabbitHook.default_conn_name) -> asyncio.Task[Any]:
    return asyncio.create_task(read_together(WhiteRabbitHook(conn_id)))


async def test_one_reading(gate: Gate) -> None:
    """Who asks during a reading gets what it finds; who asks afterwards reads anew; each connection has its own."""
    askers = [ask() for _ in range(100)]
    other = ask("other")
    await asyncio.sleep(0)
    gate.may.set()
    found = await asyncio.gather(*askers, other)
    assert found == [found[0]] * 101
    assert gate.times == 2
    assert await ask() == found[0]
    assert gate.times == 3


async def test_failure(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is everybody's, and is not kept."""
    gate.may.set()
    with monkeypatch.context() as changed:
        changed.setenv("AIRFLOW_CONN_OTHER", '{"conn_type": "whiterabbit"}')
        found = await asyncio.gather(*(ask("other") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [WhiteRabbitConfigError] * 3
    assert gate.times == 1
    assert (await ask("other")).api_key


async def test_the_first_one_is_cancelled(gate: Gate) -> None:
    """The others still get what was read."""
    first, second = ask(), ask()
    await asyncio.sleep(0)
    first.cancel()
    gate.may.set()
    assert (await second).api_key
    assert gate.times == 1
