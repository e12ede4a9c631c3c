"""Asking White Rabbit in each way that there is, for tests that all of them have to pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport import exchange as base
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.commands import Open, Read
from airflow_provider_whiterabbit.emulator import Emulator

Ask = Callable[[ClientSettings, str], Any]


def _stream(execution_id: str) -> Any:
    """Open a stream and return its first events."""
    yield Open(api.stream_execution(execution_id), 10)
    return (yield Read(silence=10, within=10, quiet=0))


def _get_sync(settings: ClientSettings, execution_id: str) -> Any:
    with Client(settings, sleep=lambda _: None) as client:
        return client.send(api.get_execution(execution_id))


def _stream_sync(settings: ClientSettings, execution_id: str) -> Any:
    with Client(settings, sleep=lambda _: None) as client:
        return client.run(_stream(execution_id))


def _get_async(settings: ClientSettings, execution_id: str) -> Any:
    async def get() -> Any:
        async with AsyncClient(settings) as client:
            return await client.send(api.get_execution(execution_id), most=base.MAX_RESPONSE_BYTES)

    return asyncio.run(get())


def _stream_async(settings: ClientSettings, execution_id: str) -> Any:
    async def stream() -> Any:
        async with AsyncClient(settings) as client:
            return await client.run(_stream(execution_id))

    return asyncio.run(stream())


both = pytest.mark.parametrize("ask", [_get_sync, _get_async], ids=["requests", "aiohttp"])
every = pytest.mark.parametrize(
    "ask",
    [_get_sync, _get_async, _stream_sync, _stream_async],
    ids=["requests", "aiohttp", "requests-stream", "aiohttp-stream"],
)


def settings_for(wr: Emulator, url: str | None = None, **more: Any) -> ClientSettings:
    return ClientSettings(url or wr.url, wr.api_key, wr.api_secret, **more)
