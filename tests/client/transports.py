"""Both clients, reading records, opening streams and submitting, for tests that must pass with each of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Generator
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.commands import Command, Open, Read
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.polling import until

Fetch = Callable[[ClientSettings, str], Any]
"""Takes settings and the id of an execution, and returns its record or the first events of its stream."""


Submit = Callable[..., Any]
"""Takes settings and the request of a submission, and perhaps a `Timing` and what else `submit` of a client takes."""

AT_ONCE = Timing(first_pause=0)
"""Lets submissions be sent again without a pause of their own."""


def _open_and_read(execution_id: str) -> Generator[Command, Any, Any]:
    """Open a stream and return its first events."""
    yield Open(api.stream_execution(execution_id), 60)
    return (yield Read(silence=60, within=60, quiet=60))


def _record_with_requests(settings: ClientSettings, execution_id: str) -> Any:
    with Client(settings, sleep=lambda _: None) as client:
        return client.send(api.get_execution(execution_id))


def _stream_with_requests(settings: ClientSettings, execution_id: str) -> Any:
    with Client(settings, sleep=lambda _: None) as client:
        return client.run(_open_and_read(execution_id))


def _record_with_aiohttp(settings: ClientSettings, execution_id: str) -> Any:
    async def fetch() -> Any:
        async with AsyncClient(settings) as client:
            return await client.send(api.get_execution(execution_id))

    return asyncio.run(fetch())


def _stream_with_aiohttp(settings: ClientSettings, execution_id: str) -> Any:
    async def fetch() -> Any:
        async with AsyncClient(settings) as client:
            return await client.run(_open_and_read(execution_id))

    return asyncio.run(fetch())


def _submit_with_requests(settings: ClientSettings, request: Request, timing: Timing = AT_ONCE, **options: Any) -> Any:
    with Client(settings, timing) as client:
        return client.submit(request, **options)


def _submit_with_aiohttp(settings: ClientSettings, request: Request, timing: Timing = AT_ONCE, **options: Any) -> Any:
    async def submit() -> Any:
        async with AsyncClient(settings, timing) as client:
            return await client.submit(request, **options)

    return asyncio.run(submit())


both_clients = pytest.mark.parametrize(
    "fetch", [_record_with_requests, _record_with_aiohttp], ids=["requests", "aiohttp"]
)
"""Runs a test with each client, which reads a record."""

submitters = pytest.mark.parametrize(
    "submit", [_submit_with_requests, _submit_with_aiohttp], ids=["requests", "aiohttp"]
)
"""Runs a test with each client, which submits."""


def failure_in_the_answer(send: Callable[[], Any]) -> str:
    """Send a request that fails in its answer, because its time is over; return the message.

    If a thread was late, the time may be over before the answer has begun; then the request is sent again.
    """

    def failure() -> str:
        with pytest.raises(exc.WhiteRabbitTransportError) as caught:
            send()
        message = str(caught.value)
        del caught  # nothing keeps what the exception's frames refer to
        return "" if re.search("no connection|nothing arrived|timed out", message) else message

    return until(failure, "an answer that begins in time", 60, 0.0)


records_and_streams = pytest.mark.parametrize(
    "fetch",
    [_record_with_requests, _record_with_aiohttp, _stream_with_requests, _stream_with_aiohttp],
    ids=["requests", "aiohttp", "requests-stream", "aiohttp-stream"],
)
"""Runs a test with each client, once to read a record and once to open a stream."""

streams = pytest.mark.parametrize(
    "fetch", [_stream_with_requests, _stream_with_aiohttp], ids=["requests-stream", "aiohttp-stream"]
)
"""Runs a test with each client, which opens a stream."""


def settings_for(emulator: Emulator, url: str | None = None, **fields: Any) -> ClientSettings:
    """Return settings with the emulator's credentials and its URL, or another URL."""
    return ClientSettings(url or emulator.url, emulator.api_key, emulator.api_secret, **fields)
