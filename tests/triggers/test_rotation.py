"""A key that is replaced while triggers wait: they read their connection together, and go on with the new key."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.polling import until
from tests.triggers.runs import completed, execution_trigger, payloads_of

pytestmark = pytest.mark.usefixtures("warm")

WAITS = 20


def were_refused(wr: Emulator, count: int) -> bool:
    """Return whether so many requests were refused because of their key."""
    return sum(entry.status == 401 for entry in wr.journal) == count


async def test_rotation(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triggers go on after each of two rotations, while streams break."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    triggers = [asyncio.create_task(payloads_of(execution_trigger(execution_id))) for _ in range(WAITS)]
    for number in (1, 2):
        await asyncio.to_thread(wr.wait_for_stream, execution_id, count=WAITS, timeout=60)
        wr.rotate_key()
        for name, value in wr.environ.items():
            monkeypatch.setenv(name, value)
        wr.close_streams(execution_id)
        refused = partial(were_refused, wr, WAITS * number)
        await asyncio.to_thread(until, refused, "requests with the earlier key", 60)
    await asyncio.to_thread(wr.wait_for_stream, execution_id, count=WAITS, timeout=60)
    wr.complete(execution_id, 1)
    assert await asyncio.gather(*triggers) == [[completed(execution_id)]] * WAITS
    assert were_refused(wr, 2 * WAITS)


async def test_key_that_is_only_revoked(whiterabbit_emulator: Emulator) -> None:
    """If the connection still has the refused key, the trigger sends an error event."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(payloads_of(execution_trigger(execution_id)))
    await asyncio.to_thread(wr.wait_for_request, kind="record", answered=True)
    wr.rotate_key()
    wr.close_streams(execution_id)
    [event] = await trigger
    assert event["status"] == "ERROR"
    assert "answered 401" in event["message"]


async def test_connection_to_another_host(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key is not sent to the host of the refused key if the connection names another host now."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(payloads_of(execution_trigger(execution_id)))
    await asyncio.to_thread(wr.wait_for_request, kind="record", answered=True)
    wr.rotate_key()
    elsewhere = {**wr.connection, "host": "http://127.0.0.2", "port": 9}
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(elsewhere))
    wr.close_streams(execution_id)
    [event] = await asyncio.wait_for(trigger, 60)
    assert event["status"] == "ERROR"
    assert "answered 401" in event["message"]
