"""The pace of all requests to one host: a bound per second, a queue, and the pauses that the host asks for."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.limits import REQUESTS_PER_SECOND
from airflow_provider_whiterabbit.client.transport.pace import Host, HostPausedError, Line, host_of
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.commands import Command, Open
from airflow_provider_whiterabbit.client.wait.followed import Followed
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.modules import MODULES
from tests.client.transports import settings_for

BURST = REQUESTS_PER_SECOND // 10
"""How many requests may be sent at once after a pause."""


def busy(status: int = 429, retry_after: float | None = 60.0) -> exc.WhiteRabbitResponseError:
    """Return the error for an answer with ``Retry-After``."""
    return exc.WhiteRabbitResponseError(status, "GET", "/p", retry_after=retry_after)


def busiest_second(moments: list[float]) -> int:
    """Return how many of the moments, which are sorted, lie within one second at most."""
    window: deque[float] = deque()
    most = 0
    for moment in moments:
        window.append(moment)
        while window[0] <= moment - 1:
            window.popleft()
        most = max(most, len(window))
    return most


# --- the bound per second


def test_one_request_per_second() -> None:
    """The smallest limit admits requests too."""
    host = Host(1)
    assert host.take() == 0
    assert 0 < host.take() <= 2


@pytest.mark.parametrize("per_second", [REQUESTS_PER_SECOND, 20])
async def test_bound(per_second: int) -> None:
    """No second has more than `per_second` requests, in the order in which they came, after a burst of a tenth."""
    line, burst = Line(Host(per_second)), per_second // 10
    admitted: list[tuple[float, int]] = []

    async def send(number: int) -> None:
        await line.admit()
        admitted.append((monotonic(), number))

    began = monotonic()
    await asyncio.gather(*(send(number) for number in range(2 * per_second)))
    assert [number for _, number in admitted] == list(range(2 * per_second))
    # Tasks that run late on a busy machine are counted late.
    assert busiest_second([moment for moment, _ in admitted]) <= per_second + burst
    assert sum(moment - began < 0.01 for moment, _ in admitted) <= burst + 3


def test_bound_with_threads() -> None:
    """Threads share the bound of their host."""
    host = Host()

    def count_permissions(_: int) -> int:
        ends, count = monotonic() + 0.5, 0
        while monotonic() < ends:
            count += host.take() == 0
        return count

    began = monotonic()
    with ThreadPoolExecutor(4) as pool:
        permissions = sum(pool.map(count_permissions, range(4)))
    assert permissions <= BURST + REQUESTS_PER_SECOND * (monotonic() - began)


async def test_cancelled_requests_take_no_permission() -> None:
    """Requests that are cancelled in the queue delay no other request."""
    line = Line(Host())
    tasks = [asyncio.create_task(line.admit()) for _ in range(40 * REQUESTS_PER_SECOND)]
    await asyncio.sleep(0)
    last = asyncio.create_task(line.admit())
    for task in tasks[BURST:]:
        task.cancel()
    async with asyncio.timeout(20):  # half the time that all of them would take
        await last


# --- pauses


@pytest.mark.parametrize("status", [429, 503])
def test_pause(status: int) -> None:
    """After a 429 or 503 with `Retry-After`, nothing may be sent until the time is over."""
    host = Host()
    host.heed(busy(status, 60), longest=300)
    for most in (60, 30):
        with pytest.raises(HostPausedError, match="asked for a pause of 60 s") as paused:
            host.take()
        assert 0 < paused.value.left <= most
        host._paused_until -= 30  # as if so much time had passed
    assert host.take() == 0


@pytest.mark.parametrize("error", [busy(500), busy(404), busy(429, None), busy(429, 0.0)])
def test_no_pause(error: exc.WhiteRabbitResponseError) -> None:
    """Other statuses, and answers without `Retry-After`, pause nothing."""
    host = Host()
    host.heed(error, longest=300)
    assert host.take() == 0


def test_longest_pause() -> None:
    """A pause is cut to its longest time, and the longest of several pauses counts."""
    host, began = Host(), monotonic()
    host.heed(busy(retry_after=86_400), longest=300)
    host.heed(busy(retry_after=1), longest=300)
    with pytest.raises(HostPausedError) as paused:
        host.take()
    assert paused.value.left <= 300
    assert monotonic() + paused.value.left >= began + 300


async def test_queue_of_a_paused_host() -> None:
    """Requests that are queued when a pause begins are refused, and sent later by whoever tries again."""
    host = Host()
    line = Line(host)
    waiting = [asyncio.create_task(line.admit()) for _ in range(3 * BURST)]
    await asyncio.sleep(0)
    host.heed(busy(), longest=300)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert outcomes[:BURST] == [None] * BURST
    assert [type(outcome) for outcome in outcomes[BURST + 5 :]] == [HostPausedError] * (2 * BURST - 5)


def test_hosts_are_shared() -> None:
    """Clients with the same base URL share a host while one of them lives."""
    host = host_of("https://a.example")
    assert host_of("https://A.example/") is host
    assert host_of("https://b.example") is not host
    assert host_of("https://a.example", 10) is host_of("https://A.example", 10) is not host
    host.heed(busy(), longest=300)
    del host
    assert host_of("https://a.example").take() == 0


# --- over real sockets


async def test_pause_counts_for_all_clients() -> None:
    """A ``Retry-After`` for one stream pauses the other requests of the process, of both clients, until it is over."""
    with Emulator(components=MODULES) as wr:
        execution = EXECUTION.followed(wr.create_execution("X", output=1))
        wr.fault(effects.Answer(429, {"message": "slow"}, retry_after=60), kind="stream")
        settings = settings_for(wr)
        async with AsyncClient(settings) as client:
            with pytest.raises(exc.WhiteRabbitRateLimitError):
                await client.run(opening(execution))
            with pytest.raises(exc.WhiteRabbitTransportError, match=r"a pause of 60 s \(Retry-After\)") as paused:
                await client.send(execution.record_request)
            assert not paused.value.sent
            assert 0 < (paused.value.retry_after or 0) <= 60
            client._host._paused_until -= 59  # as if so much time had passed
            with Client(settings, Timing(first_pause=0)) as blocking:
                assert (await asyncio.to_thread(blocking.read, execution)).output == 1
            assert (await client.wait(execution)).status == "COMPLETED"
        first, second, *_ = wr.journal
        assert second.monotonic - first.monotonic >= 1


def opening(followed: Followed[Any]) -> Generator[Command, Any, None]:
    """Open a stream."""
    yield Open(followed.stream_request, 30)


def test_long_pause_of_a_call() -> None:
    """A call fails at once if the host asked to wait for minutes, and so does the next one, which is not sent."""
    pauses: list[float] = []
    with Emulator(components=MODULES) as wr, Client(settings_for(wr), sleep=pauses.append) as client:
        wr.fault(effects.Answer(429, retry_after=600), kind="record")
        execution = EXECUTION.followed(wr.create_execution("X", output=1))
        with pytest.raises(exc.WhiteRabbitRateLimitError):
            client.read(execution)
        with pytest.raises(exc.WhiteRabbitTransportError, match="pause of 300 s"):
            client.read(execution)
        with pytest.raises(exc.WhiteRabbitTransportError, match="pause of 300 s") as unsent:
            client.submit(api.execute_component("PAY"))
        assert not unsent.value.sent
        assert not pauses
        assert len(wr.journal) == 1


async def test_deadline_in_a_pause() -> None:
    """A wait ends at its deadline although the host asked for a longer pause."""
    with Emulator(components=MODULES) as wr:
        wr.fault(effects.Answer(503, retry_after=600), times=None)
        execution = EXECUTION.followed(wr.create_execution("X", manual=True))
        async with AsyncClient(settings_for(wr)) as client, asyncio.timeout(60):
            with pytest.raises(exc.WhiteRabbitTimeoutError, match="could not be read before the deadline"):
                await client.wait(execution, deadline=time.time() + 0.5)
