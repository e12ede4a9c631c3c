"""Waits and blocking calls go through a proxy as companies run it: Debian's squid, which only knows CONNECT.

No Airflow runs here: a hook and triggers in the process of the test are all that a proxy sees of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from benchmarks import process
from benchmarks.server import get_json
from benchmarks.tls_server import NAME, PROTOCOLS, Served, serving_tls
from dev.harness.polling import until
from dev.harness.squid import Squid

pytestmark = [pytest.mark.e2e]

WAITS = 3


@pytest.fixture
def squid() -> Iterator[Squid]:
    """Run squid, which alone knows the server's name; skip the test if it is not installed."""
    try:
        Squid.program()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with Squid({NAME: "127.0.0.1"}) as squid:
        yield squid


@pytest.fixture
def served() -> Iterator[Served]:
    """Run a White Rabbit over TLS."""
    with serving_tls(ping_interval=0.2) as served:
        yield served


async def counts(served: Served) -> dict[str, int]:
    """Return how many streams the server has, and how many requests and handshakes it has seen."""
    found: dict[str, int] = await asyncio.to_thread(get_json, served.plain_url, "/counts")
    return found


async def all_stream(served: Served, times: int) -> None:
    """Wait until the server has a stream of each wait, so many times in all."""

    def is_so() -> Any:
        now = get_json(served.plain_url, "/counts")
        return now["streams"] == WAITS and now.get("stream", 0) >= times * WAITS

    await asyncio.to_thread(until, is_so, "all waits to stream", 120)


async def payload_of(number: int) -> Any:
    """Run a trigger to its end, and return the payload of its event."""
    [event] = [event async for event in WhiteRabbitExecutionTrigger(f"run-{number}", poll_interval=1).run()]
    return event.payload


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_squid(squid: Squid, served: Served, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    """Both transports use the proxy's tunnels, and no other way; waits go on after the proxy was killed."""
    url = f"https://{NAME}:{urlsplit(served.url).port}"
    environ = process.connections(url, http2=protocol == "h2") | served.trust | {"HTTPS_PROXY": squid.url}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    hook = WhiteRabbitHook()
    assert (await asyncio.to_thread(hook.get_execution, "done-100-1")).succeeded
    waits = [asyncio.create_task(payload_of(number)) for number in range(WAITS)]
    await all_stream(served, times=1)
    connections = (await counts(served))["handshakes"] - 1
    assert (connections == 1) if protocol == "h2" else (connections >= WAITS)

    await asyncio.to_thread(squid.kill)
    await asyncio.to_thread(squid.start)
    await all_stream(served, times=2)
    await asyncio.to_thread(get_json, served.plain_url, "/end/all")
    assert [payload["status"] for payload in await asyncio.gather(*waits)] == ["COMPLETED"] * WAITS
    await asyncio.to_thread(until, squid.tunnels, "squid to log its tunnels", 60)
    assert set(squid.tunnels()) == {f"us@er {NAME}:{urlsplit(url).port}"}
