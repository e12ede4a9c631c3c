"""The trigger of many executions, over real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.serialization.serialized_objects import BaseSerialization

from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.ending.verdict import name_of_many
from airflow_provider_whiterabbit.triggers.executions import WhiteRabbitExecutionsTrigger
from tests.triggers.runs import FAST_POLLING, UNKNOWN, logged, never_blocked, only_payload_of

pytestmark = pytest.mark.usefixtures("warm")


def trigger(ids: list[str], **arguments: Any) -> WhiteRabbitExecutionsTrigger:
    """Return a trigger as Airflow makes it from what its database holds."""
    path, kwargs = WhiteRabbitExecutionsTrigger(ids, **{"poll_interval": 0.05, **arguments}).serialize()
    assert path == "airflow_provider_whiterabbit.triggers.executions.WhiteRabbitExecutionsTrigger"
    return WhiteRabbitExecutionsTrigger(**BaseSerialization.deserialize(BaseSerialization.serialize(kwargs)))


def ended(ids: list[str], status: str = "COMPLETED") -> dict[str, Any]:
    """Return the payload of the event after all executions have ended."""
    return {"execution_ids": name_of_many(ids), "status": status, "message": None}


@pytest.mark.alone
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
async def test_many(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture, count: int) -> None:
    """Many executions that end in all ways give one short event; the log tells the progress in few lines."""
    caplog.set_level("INFO")
    wr = whiterabbit_emulator
    output = {"large": "x" * 1000}
    ids = [wr.create_execution("SLOW", output=output, after=index % 20 / 10) for index in range(count - 5)]
    ids += [wr.create_execution("X", error="no funds", usage=0) for _ in range(5)]
    began = time.monotonic()
    async with never_blocked():
        payload = await only_payload_of(trigger(ids), Timing(tally_interval=1))
    assert payload == ended(ids, "FAILED")
    assert len(json.dumps(payload)) < 200
    lines = [line for line in caplog.messages if line.startswith("Executions:")]
    assert lines[-1] == f"Executions: {count:,} of {count:,} ended, 5 failed, {count - 5} credits"
    assert len(lines) <= time.monotonic() - began + 2  # one a second
    assert not [line for line in caplog.messages if line.startswith("Execution ")]


async def test_completed(whiterabbit_emulator: Emulator) -> None:
    """The trigger follows equal ids once, opens no stream for what has ended already, and reads no outputs."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("SLOW", manual=True), wr.create_execution("X", output=1)]
    payload = asyncio.create_task(only_payload_of(trigger([*ids, ids[0]])))
    await asyncio.to_thread(wr.wait_for_request, kind="stream")
    wr.complete(ids[0], 1)
    assert await payload == ended([*ids, ids[0]])
    assert len(wr.requests(kind="stream")) == 1


async def test_restart(whiterabbit_emulator: Emulator) -> None:
    """Another triggerer takes over in the middle, while the first one still runs; both see all ends."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("SLOW", manual=True) for _ in range(20)]
    first = trigger(ids)
    first.hook.timing = FAST_POLLING
    killed = asyncio.create_task(anext(first.run()))  # type: ignore[arg-type]
    await asyncio.to_thread(wr.wait_for_request, kind="record", count=20, answered=True)
    for execution_id in ids[:10]:
        wr.complete(execution_id, 1)
    await asyncio.to_thread(wr.wait_for_request, kind="record", count=30, answered=True)
    killed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killed
    second = asyncio.create_task(only_payload_of(trigger(ids)))
    await asyncio.to_thread(wr.wait_for_request, kind="record", count=50, answered=True)
    for execution_id in ids[10:]:
        wr.fail(execution_id, "no")
    assert await second == ended(ids, "FAILED")


async def test_server_that_drops_all(whiterabbit_emulator: Emulator) -> None:
    """A server that closes all streams, and then is away, loses no end."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("SLOW", manual=True) for _ in range(20)]
    waiting = asyncio.create_task(only_payload_of(trigger(ids)))
    await asyncio.to_thread(wr.wait_for_request, kind="record", count=20, answered=True)
    await asyncio.to_thread(wr.pause)
    for execution_id in ids:
        wr.complete(execution_id, 1)
    await asyncio.to_thread(wr.resume)
    assert await waiting == ended(ids)


async def test_refused_streams(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Where streams are refused, all records are polled, with one line in the log."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(403, {"code": "NO", "message": "no streams"}), kind="stream", times=None)
    ids = [wr.create_execution("POLLED", polls=3, output=1) for _ in range(10)]
    assert await only_payload_of(trigger(ids)) == ended(ids)
    assert len([line for line in caplog.messages if "the stream was refused" in line]) == 1


@pytest.mark.parametrize("timing", ["deadline", "timeout"])
async def test_deadline(whiterabbit_emulator: Emulator, timing: str) -> None:
    """At the deadline, the event says how many have ended, and names the first that has not."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", output=1), wr.create_execution("SLOW", manual=True)]
    limit = {"deadline": datetime.now(UTC) + timedelta(seconds=0.5)} if timing == "deadline" else {"timeout": 0.5}
    payload = await only_payload_of(trigger(ids, **limit))
    assert payload["status"] == "TIMEOUT"
    assert "1 of 2 executions had not ended at the deadline (1 of 2 ended, 0 failed" in payload["message"]
    assert ids[1] in payload["message"]


async def test_after_the_deadline(whiterabbit_emulator: Emulator) -> None:
    """A trigger that starts after its deadline still reads all records once, and notices the ends."""
    ids = [whiterabbit_emulator.create_execution("X", output=1) for _ in range(100)]
    assert await only_payload_of(trigger(ids, deadline=datetime(2020, 1, 1, tzinfo=UTC))) == ended(ids)


@pytest.mark.parametrize(
    ("ids", "message"),
    [([UNKNOWN], UNKNOWN), (["../x"], r"execution_ids[0] must be"), ("abc", "must be a list of ids")],
)
async def test_unknown_or_unsafe(whiterabbit_emulator: Emulator, ids: Any, message: str) -> None:
    """An unknown or unsafe id ends the wait at once with an error."""
    wr = whiterabbit_emulator
    others = [wr.create_execution("SLOW", manual=True) for _ in range(5)] if ids == [UNKNOWN] else []
    payload = await only_payload_of(trigger([*others, *ids] if others else ids))
    assert payload["status"] == "ERROR"
    assert message in payload["message"]


async def test_cancelled(whiterabbit_emulator: Emulator) -> None:
    """A trigger that is cancelled leaves no task behind."""
    wr = whiterabbit_emulator
    wr.fault(effects.Silence(), kind="stream", times=None)
    tasks_before = asyncio.all_tasks()
    ids = [wr.create_execution("SLOW", manual=True) for _ in range(20)]
    waiting = asyncio.create_task(only_payload_of(trigger(ids), Timing(late_head=0.05)))
    await asyncio.to_thread(wr.wait_for_request, kind="record", answered=True)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == tasks_before


async def test_log_without_news(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """A wait without news logs from time to time that it goes on."""
    caplog.set_level("INFO")
    ids = [whiterabbit_emulator.create_execution("SLOW", manual=True)]
    waiting = asyncio.create_task(only_payload_of(trigger(ids), Timing(tally_interval=0.02, alive_interval=0.1)))
    await logged("Executions: still 0 of 1 ended, 0 failed", caplog)
    whiterabbit_emulator.complete(ids[0], 1)
    assert await waiting == ended(ids)


async def test_kill(read_log: Callable[[], str]) -> None:
    """A killed trigger logs that nothing was cancelled."""
    await trigger(["a", "b"]).on_kill()
    assert f"The executions {name_of_many(['a', 'b'])} may still be running at White Rabbit" in read_log()


def test_representation() -> None:
    """The text of a trigger, which Airflow logs, does not hold thousands of ids."""
    assert repr(trigger(["e"] * 5000)).startswith("<WhiteRabbitExecutionsTrigger 5000-")
