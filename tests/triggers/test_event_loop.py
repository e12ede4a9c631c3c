"""Triggers do not block their event loop, share one session, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.triggers.runs import (
    LONGEST_BLOCK,
    UNKNOWN,
    completed,
    end_of,
    execution_trigger,
    never_blocked,
    payloads_of,
    session_users,
)

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def other_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run an emulator in another process, so that its work does not block this one; return its URL."""
    command = [sys.executable, "-m", "airflow_provider_whiterabbit.emulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        name, value = shlex.split(process.stdout.readline())[1].split("=", 1)
        monkeypatch.setenv(name, value)
        yield url
        process.terminate()


@pytest.mark.alone
@pytest.mark.parametrize("script", [{"after": 0.5}, {"polls": 1}], ids=["event", "record"])
async def test_huge_output(other_process: str, script: dict[str, Any]) -> None:
    """An output of 30 MB, in an event or in the record, does not block the event loop."""
    output = ["x" * 1000] * 30_000
    created = await asyncio.to_thread(
        requests.post, f"{other_process}/_emulator/executions", json={"module": "HUGE", "output": output, **script}
    )
    execution_id = created.json()["id"]
    assert await end_of(execution_id) == completed(execution_id)


async def test_cancelled(whiterabbit_emulator: Emulator) -> None:
    """A cancelled trigger leaves no stream, no asyncio task and no session behind."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    before = asyncio.all_tasks()
    triggers = [asyncio.create_task(payloads_of(execution_trigger(execution_id))) for _ in range(3)]
    await asyncio.to_thread(wr.wait_for_stream, execution_id, count=3)
    for trigger in triggers:
        trigger.cancel()
    await asyncio.wait(triggers)
    assert all(trigger.cancelled() for trigger in triggers)
    await asyncio.to_thread(wr.wait_for_stream, execution_id, count=0)
    assert asyncio.all_tasks() == before
    assert await session_users() == 0


async def test_many_share_a_session(whiterabbit_emulator: Emulator) -> None:
    """Two hundred triggers share one session, and none hangs because of a limit of connections."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    triggers = [asyncio.create_task(payloads_of(execution_trigger(execution_id))) for _ in range(200)]
    await asyncio.to_thread(wr.wait_for_stream, execution_id, count=200, timeout=60)
    assert await session_users() == 200
    wr.complete(execution_id, 1)
    assert await asyncio.gather(*triggers) == [[completed(execution_id)]] * 200


def test_first_trigger_of_a_triggerer(whiterabbit_emulator: Emulator) -> None:
    """The imports of the first trigger in a process do not block the event loop."""
    script = f"""
import asyncio, gc, time
import airflow.jobs.triggerer_job_runner
from airflow.triggers.base import TriggerEvent
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger

async def main():
    gc.disable()  # a collection of all of Airflow's objects would take longer than what is measured here
    longest_block = 0.0
    async def events():
        return [event.payload async for event in WhiteRabbitExecutionTrigger("{UNKNOWN}").run()]
    trigger = asyncio.create_task(events())
    while not trigger.done():
        before = time.thread_time()
        await asyncio.sleep(0.001)
        longest_block = max(longest_block, time.thread_time() - before)
    print(trigger.result()[0]["status"], longest_block)

asyncio.run(main())
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, check=True)
    status, longest_block = done.stdout.splitlines()[-1].split()
    assert status == "ERROR"
    assert float(longest_block) < LONGEST_BLOCK


async def test_many_get_their_connection_together() -> None:
    """Triggers that shared one read of their connection go on one after the other, and do not block the event loop."""
    hooks = [WhiteRabbitHook() for _ in range(1000)]
    async with never_blocked():
        await asyncio.gather(*(hook.get_async_client() for hook in hooks))
