"""The trigger over real sockets: one right event, whatever the stream and the record do."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit.client.transport import aio
from airflow_provider_whiterabbit.client.transport import aio_io as sessions
from airflow_provider_whiterabbit.client.wait import follower as follow
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers import base
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger

UNKNOWN = "00000000-0000-0000-0000-000000000000"

LONGEST_BLOCK = 0.05
"""Seconds for which the event loop may be kept by one piece of work: of its thread's CPU time, which other processes
don't disturb."""


@contextlib.asynccontextmanager
async def never_blocked() -> AsyncIterator[None]:
    """Fail if something kept the event loop for longer than it may."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)

    gc.disable()  # its pauses grow with what else the test session holds
    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        gc.enable()
    assert longest < LONGEST_BLOCK, f"the event loop was blocked for {longest * 1000:.0f} ms"


async def events_of(trigger: WhiteRabbitExecutionTrigger) -> list[Any]:
    return [event.payload async for event in trigger.run()]


async def end_of(execution_id: str, **arguments: Any) -> dict[str, Any]:
    """Run a trigger to its end and return the payload of the one event that it must yield."""
    arguments.setdefault("poll_interval", 0.05)
    async with never_blocked():
        events = await events_of(WhiteRabbitExecutionTrigger(execution_id, **arguments))
    assert len(events) == 1
    assert not sessions._shared[asyncio.get_running_loop()]
    return events[0]


def completed(execution_id: str) -> dict[str, Any]:
    return {"execution_id": execution_id, "status": "COMPLETED", "message": None}


@pytest.fixture
async def warm(whiterabbit_emulator: Emulator) -> None:
    """Import what a trigger imports: a triggerer does that once, and not what is measured here."""
    await end_of_any(whiterabbit_emulator)


async def end_of_any(wr: Emulator) -> None:
    await events_of(WhiteRabbitExecutionTrigger(wr.create_execution("ANY", output=1)))
    wr.reset()


pytestmark = pytest.mark.usefixtures("warm")


async def test_completed(whiterabbit_emulator: Emulator) -> None:
    """An execution that ends while the trigger listens needs one stream and one read of the record."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", output={"large": "x" * 100_000}, after=0.2)
    assert await end_of(execution_id) == completed(execution_id)
    assert [entry.kind for entry in wr.journal] == ["stream", "record"]


@pytest.fixture
def other_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run an emulator whose work does not stop this process; return its URL."""
    command = [sys.executable, "-m", "airflow_provider_whiterabbit.emulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        name, value = shlex.split(process.stdout.readline())[1].split("=", 1)
        monkeypatch.setenv(name, value)
        yield url
        process.terminate()


@pytest.mark.parametrize("script", [{"after": 0.5}, {"polls": 1}], ids=["event", "record"])
async def test_huge_output(other_process: str, script: dict[str, Any]) -> None:
    """An output of 30 MB is neither read nor parsed on the event loop, on the stream or in the record."""
    output = ["x" * 1000] * 30_000
    created = await asyncio.to_thread(
        requests.post, f"{other_process}/_emulator/executions", json={"module": "HUGE", "output": output, **script}
    )
    execution_id = created.json()["id"]
    assert await end_of(execution_id) == completed(execution_id)


async def test_failed(whiterabbit_emulator: Emulator) -> None:
    """FAILED is a verdict like COMPLETED; the error stays in the record."""
    execution_id = whiterabbit_emulator.create_execution("SLOW", error={"message": "no funds"}, after=0.1)
    assert await end_of(execution_id) == {"execution_id": execution_id, "status": "FAILED", "message": None}


async def test_already_ended(whiterabbit_emulator: Emulator) -> None:
    """An execution that ended before the trigger started is noticed though the stream never says so."""
    wr = whiterabbit_emulator
    wr.stream_options(announce=False, terminal_event=False)
    execution_id = wr.create_execution("QUICK", output=1)
    assert await end_of(execution_id) == completed(execution_id)


async def test_current_status_never_told(whiterabbit_emulator: Emulator) -> None:
    """An execution that ends between the opening of the stream and the read of the record is noticed."""
    wr = whiterabbit_emulator
    wr.stream_options(announce=False)
    execution_id = wr.create_execution("POLLED", output=1, polls=1)
    assert await end_of(execution_id) == completed(execution_id)


@pytest.mark.parametrize(
    "trouble",
    [
        effects.Close(),
        effects.Close(events=1),
        effects.Reset("request"),
        effects.Reset("answer"),
        effects.Reset("body"),
        effects.Reset("body", extra=20),
        effects.Inject("data: {not json\n\n"),
        effects.Inject('data: {"id": "another", "status": "COMPLETED", "output": 1}\n\n'),
        effects.Inject(b"data: \xff\xfe\n\n"),
        effects.Inject('data: {"status": "PAUSED"}\n\n'),
        effects.Answer(200, "<html>maintenance</html>"),
        effects.Answer(204),
        effects.Answer(429, {"message": "slow down"}, {"Retry-After": "0"}),
        effects.Answer(500),
        effects.Answer(503, "<html>down</html>"),
    ],
    ids=repr,
)
async def test_stream_in_trouble(whiterabbit_emulator: Emulator, trouble: effects.Effect) -> None:
    """A stream that closes, breaks or talks nonsense is opened again, and the end is heard there."""
    wr = whiterabbit_emulator
    wr.fault(trouble, kind="stream", times=2)
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(end_of(execution_id))
    await asyncio.to_thread(wr.wait_for_request, kind="stream", count=3)
    wr.complete(execution_id, 1)
    assert await trigger == completed(execution_id)


async def test_silent_stream(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream on which nothing comes, not even a ping, is dead; the record says how things stand."""
    monkeypatch.setattr(follow, "SILENCE", 0.2)
    wr = whiterabbit_emulator
    wr.fault(effects.Silence(), kind="stream")
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(end_of(execution_id))
    await asyncio.to_thread(wr.wait_for_stream, execution_id)
    wr.complete(execution_id, 1)
    assert await trigger == completed(execution_id)


@pytest.mark.parametrize("status", [403, 404, 405, 501])
async def test_stream_refused(whiterabbit_emulator: Emulator, status: int) -> None:
    """Where streams are refused, the record is polled; a refusal is not asked for again and again."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(status, {"message": "no streams here"}), kind="stream", times=None)
    execution_id = wr.create_execution("POLLED", polls=4, output=1)
    assert await end_of(execution_id) == completed(execution_id)
    if status < 500:
        assert len(wr.requests(kind="stream")) == 1


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("ping", ["comment", "data", "alternating"])
async def test_pings_and_newlines(whiterabbit_emulator: Emulator, newline: str, ping: str) -> None:
    """Pings as comments and as data, in every newline style, cut into single bytes, disturb nobody."""
    wr = whiterabbit_emulator
    wr.stream_options(newline=newline, ping=ping, ping_interval=0.02)
    wr.fault(effects.Split((1,)), kind="stream")
    execution_id = wr.create_execution("SLOW", output=1, after=0.2)
    assert await end_of(execution_id) == completed(execution_id)
    assert len(wr.requests(kind="stream")) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_record_in_trouble(whiterabbit_emulator: Emulator, status: int) -> None:
    """429 and 5xx on everything, many times over, do not fail a wait."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(status), path="*/executions/*", times=8)
    execution_id = wr.create_execution("QUICK", output=1)
    assert await end_of(execution_id) == completed(execution_id)


async def test_outage(whiterabbit_emulator: Emulator) -> None:
    """White Rabbit may be out of reach for as long as the deadline allows."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(events_of(WhiteRabbitExecutionTrigger(execution_id, poll_interval=0.05)))
    await asyncio.to_thread(wr.wait_for_stream, execution_id)
    await asyncio.to_thread(wr.pause)
    wr.complete(execution_id, 1)
    await asyncio.to_thread(wr.resume)
    assert await trigger == [completed(execution_id)]


@pytest.mark.parametrize("offset", [-200, -60, 60, 200])
async def test_wrong_clock(
    whiterabbit_emulator: Emulator, offset: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is minutes off is corrected by the server's, with a warning that says by how much."""
    wr = whiterabbit_emulator
    monkeypatch.setattr(wr, "clock_offset", offset)
    execution_id = wr.create_execution("QUICK", output=1)
    assert await end_of(execution_id) == completed(execution_id)
    said = re.search(r"clock is (\d+) seconds (behind|ahead of) White Rabbit's", caplog.text)
    assert said is not None
    assert int(said[1]) == pytest.approx(abs(offset), abs=1)  # the server tells whole seconds
    assert said[2] == ("behind" if offset > 0 else "ahead of")
    assert [entry.status for entry in wr.journal] == [401, 200, 200]


async def test_refused_key(whiterabbit_emulator: Emulator) -> None:
    """A refused key ends the wait at once, with what the server said."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "bad key"}]}), times=None)
    event = await end_of(wr.create_execution("SLOW", manual=True))
    assert event["status"] == "ERROR"
    assert "401" in event["message"]
    assert "bad key" in event["message"]


@pytest.mark.parametrize("execution_id", ["../x", "a/b", "", "{{ unrendered }}"])
async def test_unsafe_id(whiterabbit_emulator: Emulator, execution_id: str) -> None:
    """An id that is none is refused before anything is sent."""
    event = await end_of(execution_id)
    assert event["status"] == "ERROR"
    assert "execution_id" in event["message"]
    assert not whiterabbit_emulator.journal


async def test_unknown_execution(whiterabbit_emulator: Emulator) -> None:
    """An unknown execution ends the wait at once."""
    event = await end_of(UNKNOWN)
    assert event["status"] == "ERROR"
    assert "404" in event["message"]


async def test_unknown_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that does not exist is an error like any other, not a crash of the trigger."""
    monkeypatch.setattr(base, "CONNECTION_PATIENCE", 0.0)
    event = await end_of(UNKNOWN, whiterabbit_conn_id="nowhere")
    assert event["status"] == "ERROR"
    assert "nowhere" in event["message"]


async def test_connection_that_cannot_be_read_yet(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Airflow's API server is away, a connection seems to be missing: it is asked for again."""
    ((name, value),) = whiterabbit_emulator.environ.items()
    monkeypatch.delenv(name)
    read, failed = WhiteRabbitHook.get_async_client, asyncio.Event()

    async def get_async_client(hook: WhiteRabbitHook) -> aio.AsyncClient:
        try:
            return await read(hook)
        except Exception:
            failed.set()
            raise

    monkeypatch.setattr(WhiteRabbitHook, "get_async_client", get_async_client)
    execution_id = whiterabbit_emulator.create_execution("QUICK", output=1)
    trigger = asyncio.create_task(events_of(WhiteRabbitExecutionTrigger(execution_id)))
    await failed.wait()
    monkeypatch.setenv(name, value)
    assert await trigger == [completed(execution_id)]


async def test_connection_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that can be read and not used is not asked for again."""
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", '{"conn_type": "whiterabbit", "password": "no key"}')
    event = await end_of(UNKNOWN, whiterabbit_conn_id="wrong")
    assert event["status"] == "ERROR"
    assert "api_key" in event["message"]


async def test_deadline(whiterabbit_emulator: Emulator) -> None:
    """At the deadline the trigger says so itself, with the last status that it knows."""
    execution_id = whiterabbit_emulator.create_execution("SLOW", manual=True, executing_after=0)
    event = await end_of(execution_id, deadline=datetime.now(UTC) + timedelta(seconds=0.3))
    assert event["status"] == "TIMEOUT"
    assert "EXECUTING" in event["message"]


async def test_deadline_during_outage(whiterabbit_emulator: Emulator) -> None:
    """An outage does not fail a wait, but it does not prolong it either; the message names the trouble."""
    whiterabbit_emulator.fault(effects.Answer(503), times=None)
    execution_id = whiterabbit_emulator.create_execution("SLOW", manual=True)
    event = await end_of(execution_id, timeout=0.3)
    assert event["status"] == "TIMEOUT"
    assert "503" in event["message"]


async def test_past_deadline_looks_once(whiterabbit_emulator: Emulator) -> None:
    """A trigger that starts after its deadline (its triggerer was down) still notices an end."""
    execution_id = whiterabbit_emulator.create_execution("QUICK", output=1)
    assert await end_of(execution_id, deadline=datetime(2020, 1, 1, tzinfo=UTC)) == completed(execution_id)


async def test_cancelled(whiterabbit_emulator: Emulator) -> None:
    """A cancelled trigger leaves no stream, no task and no session behind."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    before = asyncio.all_tasks()
    triggers = [asyncio.create_task(events_of(WhiteRabbitExecutionTrigger(execution_id))) for _ in range(3)]
    await asyncio.to_thread(wr.wait_for_stream, execution_id, count=3)
    for trigger in triggers:
        trigger.cancel()
    await asyncio.wait(triggers)
    assert all(trigger.cancelled() for trigger in triggers)
    await asyncio.to_thread(wr.wait_for_stream, execution_id, count=0)
    assert asyncio.all_tasks() == before
    assert not sessions._shared[asyncio.get_running_loop()]


async def test_cancelled_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trigger that still reads its connection, or waits to read it again, ends when it is told to."""
    reading = asyncio.Event()

    async def hang(_hook: Any) -> None:
        reading.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(WhiteRabbitHook, "get_async_client", hang)
    trigger = asyncio.create_task(events_of(WhiteRabbitExecutionTrigger("e")))
    async with asyncio.timeout(60):
        await reading.wait()
    reading.clear()
    trigger.cancel()
    await asyncio.wait([trigger], timeout=60)
    assert trigger.cancelled()
    assert not reading.is_set()


async def test_many_share_a_session(whiterabbit_emulator: Emulator) -> None:
    """Two hundred waits run beside each other; a connection pool's limit would let the last ones hang."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    triggers = [asyncio.create_task(events_of(WhiteRabbitExecutionTrigger(execution_id))) for _ in range(200)]
    await asyncio.to_thread(wr.wait_for_stream, execution_id, count=200, timeout=60)
    assert len(sessions._shared[asyncio.get_running_loop()]) == 1
    wr.complete(execution_id, 1)
    assert await asyncio.gather(*triggers) == [[completed(execution_id)]] * 200


async def test_log(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Each change of status is logged once, with the time that it took, and no secret."""
    caplog.set_level(logging.DEBUG)
    wr = whiterabbit_emulator
    wr.fault(effects.Close(events=1), kind="stream", times=3)
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(end_of(execution_id))
    # Each stream is opened before a read of the record, and those that close are followed by another one.
    await asyncio.to_thread(wr.wait_for_request, kind="record", count=7, answered=True)
    wr.start(execution_id)
    wr.complete(execution_id, 1)
    await trigger
    lines = [record.getMessage() for record in caplog.records]
    for status in ("CREATED", "EXECUTING", "COMPLETED"):
        assert len([line for line in lines if f"{execution_id}: {status} after " in line]) == 1
    assert wr.api_key not in caplog.text
    assert wr.api_secret not in caplog.text


def test_first_trigger_of_a_triggerer(whiterabbit_emulator: Emulator) -> None:
    """What the first trigger has to import does not stop the event loop."""
    script = f"""
import asyncio, gc, time
import airflow.jobs.triggerer_job_runner
from airflow.triggers.base import TriggerEvent
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers import base
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger

async def main():
    gc.disable()  # what Airflow has loaded takes longer to look through than all that is measured here
    longest = 0.0
    async def events():
        return [event.payload async for event in WhiteRabbitExecutionTrigger("{UNKNOWN}").run()]
    trigger = asyncio.create_task(events())
    while not trigger.done():
        before = time.thread_time()
        await asyncio.sleep(0.001)
        longest = max(longest, time.thread_time() - before)
    print(trigger.result()[0]["status"], longest)

asyncio.run(main())
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, check=True)
    status, longest = done.stdout.splitlines()[-1].split()
    assert status == "ERROR"
    assert float(longest) < LONGEST_BLOCK


def test_serialize() -> None:
    """A trigger is made again from what it serializes, and holds no secret."""
    arguments = {
        "execution_id": "e",
        "whiterabbit_conn_id": "c",
        "poll_interval": 3.0,
        "deadline": datetime(2026, 1, 1, tzinfo=UTC),
        "timeout": 5.0,
    }
    path, kwargs = WhiteRabbitExecutionTrigger(**arguments).serialize()
    assert path == f"{WhiteRabbitExecutionTrigger.__module__}.{WhiteRabbitExecutionTrigger.__qualname__}"
    assert kwargs == arguments
