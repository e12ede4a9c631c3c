"""The asynchronous client: it reads and waits; `test_submissions` submits with it."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.records.execution import ExecutionEvent
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.client.transports import settings_for


async def test_submissions_are_refused(whiterabbit_emulator: Emulator) -> None:
    """`send`, on which triggers are built, refuses a submission before anything is sent: triggers may run twice."""
    async with AsyncClient(settings_for(whiterabbit_emulator)) as client:
        with pytest.raises(exc.WhiteRabbitInputError, match="must not be sent twice"):
            await client.send(api.execute_component("PAY"))
    assert not whiterabbit_emulator.journal


async def test_read_once(whiterabbit_emulator: Emulator) -> None:
    """`read_once` returns a record, and raises a transport error if the record has more than `max_bytes`."""
    followed = EXECUTION.followed(whiterabbit_emulator.create_execution("X", output="x" * 20_000))
    async with AsyncClient(settings_for(whiterabbit_emulator)) as client:
        assert (await client.read_once(followed)).output == "x" * 20_000
        with pytest.raises(exc.WhiteRabbitTransportError, match="more than 10000 bytes"):
            await client.read_once(followed, max_bytes=10_000)


async def test_wait(whiterabbit_emulator: Emulator) -> None:
    """`wait` returns the terminal event of the stream."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    async with AsyncClient(settings_for(wr)) as client:
        waiting = asyncio.create_task(client.wait(EXECUTION.followed(execution_id)))
        await asyncio.to_thread(wr.wait_for_request, kind="record", answered=True)
        await asyncio.to_thread(wr.complete, execution_id, 1)
        event = await waiting
    assert isinstance(event, ExecutionEvent)
    assert (event.id, event.status) == (execution_id, "COMPLETED")


async def test_submission_beside_a_dead_keep_alive_connection(whiterabbit_emulator: Emulator) -> None:
    """A submission uses a new connection, so a dead keep-alive connection does not make it uncertain."""
    wr = whiterabbit_emulator
    async with AsyncClient(settings_for(wr)) as client:
        await client.read(EXECUTION.followed(wr.create_execution("X")))
        await asyncio.to_thread(wr.pause)
        await asyncio.to_thread(wr.resume)
        await client.submit(api.execute_component("PAY"))
    assert len(wr.requests(kind="submit")) == 1


async def test_submissions_at_once(whiterabbit_emulator: Emulator) -> None:
    """As many submissions as `requests_at_once` wait for an answer, and do not keep records from being read."""
    wr = whiterabbit_emulator
    known = EXECUTION.followed(wr.create_execution("X", output=1))
    hold = wr.fault(effects.Hold(), kind="submit", times=None)
    async with AsyncClient(settings_for(wr, requests_at_once=4)) as client:
        submissions = [asyncio.create_task(client.submit(api.execute_component("PAY"))) for _ in range(10)]
        await asyncio.to_thread(wr.wait_for_request, kind="submit", count=4)
        assert (await client.read(known)).output == 1
        assert len(wr.requests(kind="submit")) == 4
        wr.release(hold)
        wr.clear_faults()
        ids = {answer["id"] for answer in await asyncio.gather(*submissions)}
    assert len(ids) == 10
    assert len(wr.requests(kind="submit")) == 10


async def test_a_pause_of_the_host(whiterabbit_emulator: Emulator) -> None:
    """While the host wants a pause, a submission is not sent, which its error says."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(429, retry_after=60), kind="record")
    async with AsyncClient(settings_for(wr, requests_per_second=249)) as client:
        with pytest.raises(exc.WhiteRabbitRateLimitError):
            await client.read_once(EXECUTION.followed(wr.create_execution("X")))
        with pytest.raises(exc.WhiteRabbitTransportError, match="not sent, because the host asked") as caught:
            await client.submit(api.execute_component("PAY"))
    assert not caught.value.sent
    assert not wr.requests(kind="submit")


@pytest.mark.parametrize("is_sent", [True, False])
async def test_a_cancelled_submission(
    whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture, is_sent: bool
) -> None:
    """If a submission is cancelled before its answer, the log tells that it was sent, unless it was not."""
    wr = whiterabbit_emulator
    wr.fault(effects.Hold(), kind="submit", times=None)
    async with AsyncClient(settings_for(wr, requests_at_once=1)) as client:
        first = asyncio.create_task(client.submit(api.execute_component("PAY")))
        await asyncio.to_thread(wr.wait_for_request, kind="submit")
        second = asyncio.create_task(client.submit(api.execute_component("PAY")))
        await asyncio.sleep(0)
        cancelled = first if is_sent else second
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert ("White Rabbit may have received it" in caplog.text) is is_sent
        first.cancel()
        second.cancel()
        await asyncio.wait([first, second])


async def test_events(whiterabbit_emulator: Emulator) -> None:
    """`events` yields the events of a stream up to the terminal one, also a large one."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", output="x" * 2_000_000, after=0.1)
    async with AsyncClient(settings_for(wr)) as client:
        statuses = [str(event.status) async for event in client.events(EXECUTION.followed(execution_id))]
    assert statuses[-1] == "COMPLETED"
