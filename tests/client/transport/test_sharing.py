"""What the asynchronous clients of an event loop share: a session, and the turns of its requests."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.limits import REQUESTS_AT_ONCE
from airflow_provider_whiterabbit.client.transport.sharing import Turns, join, leave
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.polling import until
from tests.client.servers import concurrent_server, read_request
from tests.client.transports import settings_for


async def test_sessions_are_shared(whiterabbit_emulator: Emulator) -> None:
    """Clients of one event loop with equal base URLs share a session, which the last client closes."""
    settings = settings_for(whiterabbit_emulator)
    first, second, other = join(settings), join(settings), join(settings_for(whiterabbit_emulator, "http://localhost"))
    assert first is second
    assert first is not other
    session = await first.opened()
    await leave(other)
    await leave(first)
    assert not session.closed
    await leave(second)
    assert session.closed
    later = join(settings)
    assert later is not first
    await leave(later)


async def settled() -> None:
    """Let the tasks of the event loop run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_turns() -> None:
    """No more requests than there are turns wait for a response; the next one gets the turn of the first that ends."""
    turns = Turns(2)
    ends, running = [asyncio.Event() for _ in range(3)], []

    async def send(number: int) -> None:
        async with turns.taken(within=30):
            running.append(number)
            await ends[number].wait()

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(send(number))
        await settled()
        assert running == [0, 1]
        ends[1].set()
        await settled()
        assert running == [0, 1, 2]
        ends[0].set()
        ends[2].set()


async def test_requests_at_once(whiterabbit_emulator: Emulator) -> None:
    """As many requests for records wait for an answer as the settings allow."""
    wr = whiterabbit_emulator
    hold = wr.fault(effects.Hold(), kind="record", times=None)
    execution_id = wr.create_execution("X")
    async with AsyncClient(settings_for(wr, requests_at_once=3), Timing(late_head=600)) as client:
        reads = [asyncio.create_task(client.send(api.get_execution(execution_id))) for _ in range(7)]
        await asyncio.to_thread(until, lambda: len(wr.requests(kind="record")) >= 3, "three requests", 30)
        await asyncio.to_thread(wr.create_execution, "OTHER")  # the emulator handles it after all that has arrived
        assert len(wr.requests(kind="record")) == 3
        wr.release(hold)
        assert [read["id"] for read in await asyncio.gather(*reads)] == [execution_id] * 7


async def test_records_without_an_answer(whiterabbit_emulator: Emulator) -> None:
    """Reads of records that are never answered keep no other read waiting until they fail."""
    closing = threading.Event()

    def answer(connection: socket.socket) -> None:
        if b"/hung-" in read_request(connection):
            closing.wait()
        else:
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{"id": "e-1"}')

    with concurrent_server(answer) as port:
        url = f"http://127.0.0.1:{port}"
        async with AsyncClient(settings_for(whiterabbit_emulator, url), Timing(late_head=0.2)) as client:
            hung = [
                asyncio.create_task(client.send(api.get_execution(f"hung-{i}"))) for i in range(2 * REQUESTS_AT_ONCE)
            ]
            await asyncio.sleep(0)
            async with asyncio.timeout(20):  # less than a request may take
                assert await client.send(api.get_execution("e-1")) == {"id": "e-1"}
            assert not any(task.done() for task in hung)
            for task in hung:
                task.cancel()
            await asyncio.gather(*hung, return_exceptions=True)
        closing.set()


async def test_no_turn_in_time() -> None:
    """A request that gets no turn in time fails; the message says how many other requests had no answer."""
    turns = Turns(1)
    async with turns.taken(within=30) as left:
        assert left <= 30
        with pytest.raises(UnusableAnswerError, match=r"1 other requests had no answer within 0\.01 s"):
            async with turns.taken(within=0.01):
                pass
    async with turns.taken(within=0.01):
        pass


async def test_turns_that_are_given_back_early() -> None:
    """A request that takes longer than `longest` gives its turn back once, and goes on."""
    turns = Turns(1)
    async with asyncio.timeout(30), turns.taken(30, longest=0.01), turns.taken(30):
        pass
    async with turns.taken(within=30):
        with pytest.raises(UnusableAnswerError):
            async with turns.taken(within=0.01):
                pass
