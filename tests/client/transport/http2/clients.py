"""What the tests of HTTP/2 do with clients."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Generator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.wait.commands import Command, Open, Read
from dev.harness.http2_server import Http2Server

KEY = "ws_0123456789abcdef"
_SECRET = Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def settings_of(server: Http2Server, **fields: Any) -> ClientSettings:
    """Return settings that trust the server."""
    fields = {"ca_bundle": server.ca_bundle, "requests_per_second": 10_000, **fields}
    return ClientSettings(fields.pop("base_url", server.url), KEY, base64.b64encode(_SECRET).decode(), **fields)


def stream(execution_id: str, opened: Callable[[], Any] = lambda: None) -> Generator[Command, Any, Any]:
    """Open a stream, call a function, and return the first events."""
    yield Open(api.stream_execution(execution_id), 120)
    opened()
    return (yield Read(silence=120, within=120, quiet=120))


async def streaming(client: AsyncClient, server: Http2Server, count: int) -> list[asyncio.Task[Any]]:
    """Open streams of the executions e-0, e-1, ...; return tasks that end with the first events of each."""
    opened = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(client.run(stream(f"e-{number}", opened.release))) for number in range(count)]
    for _ in range(count):
        getting = asyncio.create_task(opened.acquire())
        await asyncio.wait({getting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            getting.cancel()
            await asyncio.gather(*(task for task in tasks if task.done()))
            break
    return tasks


async def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def paths(server: Http2Server) -> list[str]:
    """Return the paths of all requests."""
    return [headers[":path"] for _, _, headers in server.requests]
