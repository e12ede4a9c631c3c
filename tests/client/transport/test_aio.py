"""The asynchronous client: it reads and waits, and submits nothing."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.records.execution import ExecutionEvent
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.transports import settings_for


async def test_submissions_are_refused(whiterabbit_emulator: Emulator) -> None:
    """The asynchronous client refuses a submission before anything is sent, because triggers may run twice."""
    async with AsyncClient(settings_for(whiterabbit_emulator)) as client:
        with pytest.raises(exc.WhiteRabbitInputError, match="must be sent from a worker"):
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
