"""How a trigger reads its connection, and what it does if it cannot."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.triggers.runs import UNKNOWN, completed, end_of, execution_trigger, payloads_of
from tests.versions import needs_missing_connections

pytestmark = pytest.mark.usefixtures("warm")

WITHOUT_DESCRIPTORS = """
import asyncio, contextlib, os, resource, sys
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger

class WatchedHook(WhiteRabbitHook):
    calls = 0

    async def get_async_client(self):
        WatchedHook.calls += 1
        return await super().get_async_client()

async def run(trigger):
    return [event.payload async for event in trigger.run()]

async def main(execution_id):
    await run(WhiteRabbitExecutionTrigger(execution_id))  # imports everything
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 3,) * 2)
    trigger = WhiteRabbitExecutionTrigger(execution_id)
    trigger.hook = WatchedHook()
    with contextlib.ExitStack() as files:
        with contextlib.suppress(OSError):
            while True:
                files.enter_context(open(os.devnull))
        running = asyncio.create_task(run(trigger))
        while WatchedHook.calls < 2 and not running.done():
            await asyncio.sleep(0.01)
    print(*await running)

asyncio.run(main(sys.argv[1]))
"""


@needs_missing_connections
async def test_missing_connection() -> None:
    """If the connection does not exist, the trigger sends an error event with the connection's id."""
    event = await end_of(UNKNOWN, Timing(connection_patience=0), whiterabbit_conn_id="nowhere")
    assert event["status"] == "ERROR"
    assert "nowhere" in event["message"]


async def test_connection_that_cannot_be_read_yet(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trigger reads a missing connection again: it seems missing while Airflow's API server is down."""
    ((name, value),) = whiterabbit_emulator.environ.items()
    monkeypatch.delenv(name)
    failed = asyncio.Event()

    class WatchedHook(WhiteRabbitHook):
        async def get_async_client(self) -> AsyncClient:
            try:
                return await super().get_async_client()
            except Exception:
                failed.set()
                raise

    execution_id = whiterabbit_emulator.create_execution("QUICK", output=1)
    trigger = execution_trigger(execution_id)
    trigger.hook = WatchedHook()
    running = asyncio.create_task(payloads_of(trigger))
    await failed.wait()
    monkeypatch.setenv(name, value)
    assert await running == [completed(execution_id)]


async def test_invalid_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the connection is invalid, the trigger sends an error event at once."""
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", '{"conn_type": "whiterabbit", "password": "no key"}')
    event = await end_of(UNKNOWN, whiterabbit_conn_id="wrong")
    assert event["status"] == "ERROR"
    assert "api_key" in event["message"]


async def test_cancelled_while_reading() -> None:
    """A trigger that is cancelled while it reads its connection ends, and does not read again."""
    reading = asyncio.Event()

    class HangingHook(WhiteRabbitHook):
        async def get_async_client(self) -> AsyncClient:
            reading.set()
            await asyncio.Event().wait()
            raise AssertionError

    trigger = execution_trigger("e")
    trigger.hook = HangingHook()
    running = asyncio.create_task(payloads_of(trigger))
    async with asyncio.timeout(60):
        await reading.wait()
    reading.clear()
    running.cancel()
    await asyncio.wait([running], timeout=60)
    assert running.cancelled()
    assert not reading.is_set()


@pytest.mark.parametrize("limit", ["deadline", "patience"])
async def test_connection_that_is_never_read(limit: str) -> None:
    """If a secrets backend hangs, the trigger times out at its deadline, or fails when its patience is over."""

    class HangingHook(WhiteRabbitHook):
        async def get_async_client(self) -> AsyncClient:
            await asyncio.Event().wait()
            raise AssertionError

    timing = Timing(connection_patience=0.1 if limit == "patience" else 600, final_read=0.1)
    deadline = datetime.now(UTC) + timedelta(seconds=0.1) if limit == "deadline" else None
    trigger = execution_trigger("e", deadline=deadline)
    trigger.hook = HangingHook()
    [event] = await asyncio.wait_for(payloads_of(trigger, timing), 60)
    assert event["status"] == ("TIMEOUT" if limit == "deadline" else "ERROR")
    assert ("Execution e had not ended at the deadline" in event["message"]) is (limit == "deadline")
    assert "connection whiterabbit_default could not be read within" in event["message"]
    assert ("It may still be running at White Rabbit" in event["message"]) is (limit == "deadline")


def test_without_file_descriptors(whiterabbit_emulator: Emulator) -> None:
    """A trigger that can't read the CA certificates because the process has no file descriptor left tries again."""
    execution_id = whiterabbit_emulator.create_execution("QUICK", output=1)
    command = [sys.executable, "-c", WITHOUT_DESCRIPTORS, execution_id]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.splitlines()[-1] == str(completed(execution_id))
